"""From the options of a training to what is minimised, and to the words that say how a model was trained."""

from __future__ import annotations

import torch

from ..augment.mixing import mixings, pick_one
from ..distill import losses as distillation_losses
from ..distill.objective import Distilled
from ..errors import UserError
from ..models.classifier import Classifier
from ..sparsify import regularisers
from ..train.losses import losses
from ..train.objective import Supervised
from ..train.weights import class_weights
from .options import TrainingOptions
from .parts import split_mixing


def make_objective(
    model: Classifier, options: TrainingOptions, teacher: Classifier | None, labels: torch.Tensor
) -> torch.nn.Module:
    """The student with its loss on the labels and, where there is a teacher, on its answers.

    Pictures are mixed before the objective sees them, so a teacher sees them mixed too.

    Args:
        labels: of the training pictures, (N,) int64.
    """
    counts = torch.bincount(labels, minlength=len(model.classes)).tolist()
    weights = class_weights(options.class_weights, model.classes, counts)
    if weights is not None:
        weights = torch.tensor(weights, device=model.scale.device)
    objective = Supervised(model, make_part(losses, options.loss), class_weights=weights)
    if teacher is not None:
        objective = Distilled(objective, teacher, make_part(distillation_losses, options.distill))
    _, mixing = split_mixing(options.augment)
    if mixing:
        mix = pick_one([make_part(mixings, part) for part in mixing], len(model.classes))
        objective.register_forward_pre_hook(lambda _, batch: mix(*batch))
    return objective


def make_part(registry, part):
    """The registered part with its options, or None. Raises UserError when it refuses them."""
    if part is None:
        return None
    try:
        return registry.get(part.name)(**part.options)
    except ValueError as error:
        raise UserError(f"{registry.kind} {part.name}", str(error)) from None


def word_training(options: TrainingOptions, before: list[str], *, distilled: bool) -> list[str]:
    """How a model was trained, in the words of the table; what the parent went through comes first."""
    words = list(before)
    if options.sparsify:
        words.append(regularisers.get(options.sparsify.name).label)
    if options.weight_decay > 0:
        words.append("L2")
    if distilled:
        words.append("distilled")
    return list(dict.fromkeys(words))
