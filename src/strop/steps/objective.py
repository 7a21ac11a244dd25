"""From the options of a training to what is minimised, and to the words that say how a model was trained."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from ..augment.mixing import mixings, pick_one
from ..data.chance import key
from ..distill import losses as distillation_losses
from ..distill.maps import maps as map_losses
from ..distill.maps.pairs import pair_up
from ..distill.objective import Distilled
from ..errors import UserError
from ..models.classifier import Classifier
from ..quantize.constraints import constraints
from ..sparsify import regularisers
from ..train.losses import losses
from ..train.objective import Loss, Supervised
from ..train.weights import class_weights
from .answers import Answers
from .options import TrainingOptions
from .parts import split_distill, split_mixing


def make_objective(
    model: Classifier, options: TrainingOptions, teacher: Classifier | Answers | None, labels: torch.Tensor
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
        objective = _distilled(objective, options, None if isinstance(teacher, Answers) else teacher)
    _, mixing = split_mixing(options.augment)
    if mixing:
        mix = pick_one([make_part(mixings, part) for part in mixing], len(model.classes))
        objective.register_forward_pre_hook(lambda _, batch: mix(*batch))
    constraint = make_part(constraints, options.constrain)
    if hasattr(constraint, "penalty"):
        objective.register_forward_hook(partial(_with_penalty, model.net, constraint))
    return objective


def _with_penalty(
    net: torch.nn.Module, constraint: Any, _objective: torch.nn.Module, _batch: tuple, loss: Loss
) -> Loss:
    """The penalty is a mean: it counts as much as the pictures do, so that chunks of a batch add up to it once."""
    return loss._replace(total=loss.total + loss.weight * constraint.penalty(net))


def _distilled(supervised: Supervised, options: TrainingOptions, teacher: torch.nn.Module | None) -> Distilled:
    """With the loss on the teacher's answers, those on its maps, and the adapters that these train."""
    on_answers, on_maps = split_distill(options.distill)
    if on_maps and not isinstance(teacher, Classifier):
        raise UserError(f"distill {on_maps[0].name}", "compares maps with those of one teacher. Name one run.")
    chance = torch.Generator().manual_seed(key(options.seed, "adapters"))
    pairs = [pair_up(part.name, make_part(map_losses, part), supervised.student, teacher, chance) for part in on_maps]
    return Distilled(supervised, teacher, make_part(distillation_losses, next(iter(on_answers), None)), pairs)


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
    if options.constrain:
        words.append("constrained")
    if options.weight_decay > 0:
        words.append("L2")
    if distilled:
        words.append("distilled")
    return list(dict.fromkeys(words))
