"""The objective of a student with a teacher."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor

from ..models.maps import watched
from .maps.pairs import Pairs


class Distilled(nn.Module):
    """A supervised objective plus distillation losses.

    total = hard_weight * total of the labels + W * (weight * soft(student, teacher, target) + sum over the losses on
    maps of weight * loss(student's maps, teacher's maps)), W the weight that the labels' loss is divided by: the number
    of pictures, or the sum of their classes' weights. hard_weight is that of `soft`, and 1 without it.

    Where pictures were mixed, the teacher sees the mixed ones, and the target of `soft` is the class with the largest
    share.

    Args:
        supervised: the objective on the labels (`train.objective.Supervised`); its student is the one that learns.
        teacher: frozen here, in eval mode, and outside the objective's state. None where its answers come with the
            targets, (B, 1 + K) float: the class, then the teacher's logits.
        soft: one of `distill.losses`, or None where only maps are compared.
        pairs: losses on maps, from `maps.pairs.pair_up`; what they train belongs to the objective.
    """

    def __init__(
        self, supervised: nn.Module, teacher: nn.Module | None, soft: nn.Module | None, pairs: Sequence[Pairs] = ()
    ):
        super().__init__()
        self.student, self.loss, self.soft = supervised.student, supervised.loss, soft
        self.maps = nn.ModuleList(pair.loss for pair in pairs)
        if teacher is not None:
            teacher.eval().requires_grad_(False)
        # Not submodules: the teacher is neither trained nor saved, and the student is there already.
        object.__setattr__(self, "_teacher", teacher)
        object.__setattr__(self, "_supervised", supervised)
        self._pairs = tuple(pairs)

    def mode(self, train: bool) -> None:
        self.student.train(train)

    def beside(self) -> list[nn.Parameter]:
        """What is trained with the student and is no part of it."""
        return [*self.maps.parameters()]

    def forward(self, images: Tensor, target: Tensor):
        ours = [path for pair in self._pairs for path in pair.ours]
        theirs = [path for pair in self._pairs for path in pair.theirs]
        with watched(self._teacher, theirs) as their_maps:
            taught = self._ask(images)
        with watched(self.student, ours) as our_maps:
            logits = self.student(images).float()
        if taught is None:
            taught, target = _split(target, like=logits)
        found = {}
        if self.soft is not None:
            leading = target if target.ndim == 1 else target.argmax(1)
            found["soft"] = (self.soft.weight, self.soft(logits, taught, leading))
        for pair in self._pairs:
            maps = [our_maps[path] for path in pair.ours], [their_maps[path] for path in pair.theirs]
            found[pair.name] = (pair.loss.weight, pair.loss(*maps))
        return self._add_up(self._supervised.on_labels(logits, target), found)

    @torch.no_grad()
    def _ask(self, images: Tensor) -> Tensor | None:
        return None if self._teacher is None else self._teacher(images).float()

    def _add_up(self, hard, found: dict[str, tuple[float, Tensor]]):
        total = (self.soft.hard_weight if self.soft is not None else 1.0) * hard.total
        parts = dict(hard.parts)
        for name, (weight, loss) in found.items():
            total = total + weight * (loss * hard.weight)
            parts[name] = loss.detach() * hard.weight
        return hard._replace(total=total, parts=parts | {"total": total.detach()})


def _split(target: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """The teacher's answers and the classes. Blank targets (B,), with which memory is tried out, have zeros beside."""
    if target.ndim == 1:
        return torch.zeros_like(like), target.long()
    return target[:, 1:], target[:, 0].long()
