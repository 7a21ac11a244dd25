"""Several teachers as one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor


class Ensemble(nn.Module):
    """The mean of the teachers' probabilities, as logits.

    z = log(1/M sum_m softmax(z_m)), so softmax(z) is the mean. A loss divides z by its temperature like any logits.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, arXiv:1503.02531, section 3 (the
    arithmetic mean of the ensemble's predictions). Unlike a mean of logits, the geometric mean, a teacher whose logits
    are larger does not outweigh the others.

    Args:
        teachers: classifiers of the same classes; each sees the pictures at its own size.
    Shape:
        images: (B, C, H, W) uint8. Returns: (B, K) log-probabilities.
    """

    def __init__(self, teachers: Sequence[nn.Module]):
        super().__init__()
        self.teachers = nn.ModuleList(teachers)

    def forward(self, images: Tensor) -> Tensor:
        answers = torch.stack([teacher(images).float().log_softmax(1) for teacher in self.teachers])
        return answers.logsumexp(0) - math.log(len(answers))
