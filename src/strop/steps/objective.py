"""From the options of a training to what is minimised, and to the words that say how a model was trained."""

from __future__ import annotations

import torch

from ..distill import losses as distillation_losses
from ..distill.objective import Distilled
from ..errors import UserError
from ..models.classifier import Classifier
from ..sparsify import regularisers
from ..train.losses import losses
from ..train.objective import Supervised
from .options import TrainingOptions


def make_objective(model: Classifier, options: TrainingOptions, teacher: Classifier | None) -> torch.nn.Module:
    """The student with its loss on the labels and, where there is a teacher, on its answers."""
    supervised = Supervised(model, make_part(losses, options.loss))
    if teacher is None:
        return supervised
    return Distilled(supervised, teacher, make_part(distillation_losses, options.distill))


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
