"""The objective of a student with a teacher."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn as nn
from torch import Tensor


class Distilled(nn.Module):
    """A supervised objective plus a distillation loss.

    total = hard_weight * total of the labels + B * weight * soft(student, teacher, target).

    Args:
        supervised: the objective on the labels; its student is the one that learns, its loss is reused.
        teacher: frozen here, in eval mode, and outside the objective's state.
        soft: one of `distill.losses`.
        make_loss, count: how the loop wants its answer (`train.objective.Loss` and `count`).
    """

    def __init__(
        self, supervised: nn.Module, teacher: nn.Module, soft: nn.Module, *, make_loss: Callable, count: Callable
    ):
        super().__init__()
        self.student, self.loss, self.soft = supervised.student, supervised.loss, soft
        self._make_loss, self._count = make_loss, count
        teacher.eval().requires_grad_(False)
        object.__setattr__(self, "_teacher", teacher)  # not a submodule: neither trained nor saved

    def mode(self, train: bool) -> None:
        self.student.train(train)

    def forward(self, images: Tensor, target: Tensor):
        with torch.no_grad():
            taught = self._teacher(images).float()
        logits = self.student(images).float()
        hard = self.loss(logits, target) * len(target)
        soft = self.soft(logits, taught, target) * len(target)
        total = self.soft.hard_weight * hard + self.soft.weight * soft
        return self._make_loss(
            total,
            len(target),
            {"loss": hard.detach(), "soft": soft.detach(), "total": total.detach(), **self._count(logits, target)},
        )
