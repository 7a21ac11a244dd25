"""The objective of a student with a teacher."""

from __future__ import annotations

import torch
import torch.nn as nn
from torch import Tensor


class Distilled(nn.Module):
    """A supervised objective plus a distillation loss.

    total = hard_weight * total of the labels + W * weight * soft(student, teacher, target), W the weight that the
    labels' loss is divided by: the number of pictures, or the sum of their classes' weights.

    Where pictures were mixed, the teacher sees the mixed ones, and the target of `soft` is the class with the largest
    share.

    Args:
        supervised: the objective on the labels (`train.objective.Supervised`); its student is the one that learns.
        teacher: frozen here, in eval mode, and outside the objective's state.
        soft: one of `distill.losses`.
    """

    def __init__(self, supervised: nn.Module, teacher: nn.Module, soft: nn.Module):
        super().__init__()
        self.student, self.loss, self.soft = supervised.student, supervised.loss, soft
        teacher.eval().requires_grad_(False)
        # Not submodules: the teacher is neither trained nor saved, and the student is there already.
        object.__setattr__(self, "_teacher", teacher)
        object.__setattr__(self, "_supervised", supervised)

    def mode(self, train: bool) -> None:
        self.student.train(train)

    def forward(self, images: Tensor, target: Tensor):
        with torch.no_grad():
            taught = self._teacher(images).float()
        logits = self.student(images).float()
        hard = self._supervised.on_labels(logits, target)
        leading = target if target.ndim == 1 else target.argmax(1)
        soft = self.soft(logits, taught, leading) * hard.weight
        total = self.soft.hard_weight * hard.total + self.soft.weight * soft
        return hard._replace(total=total, parts=hard.parts | {"soft": soft.detach(), "total": total.detach()})
