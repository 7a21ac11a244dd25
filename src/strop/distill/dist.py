"""Distillation of relations, for a teacher that is much stronger than its student."""

import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from . import losses
from .softening import check_options


@losses.add("dist")
class DIST(nn.Module):
    """Match how the teacher orders the classes of a picture, and the pictures of a class, not its probabilities.

    loss = temperature**2 * (beta mean_i (1 - r(p_i, p'_i)) + gamma mean_k (1 - r(p_:k, p'_:k))), r Pearson's
    correlation, p = softmax(z / temperature) of the student and p' of the teacher, i a picture, k a class.

    Source: Huang et al., "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022, arXiv:2205.10536; their
    settings are beta = gamma = 1 and temperature 1 for ImageNet, 2 and 4 for CIFAR-100.

    Args:
        temperature: > 0, no unit.
        beta: weight of the relation among the classes of a picture; >= 0.
        gamma: weight of the relation among the pictures of a batch; >= 0. It needs batches of some dozens.
        weight: factor on this loss; >= 0.
        hard_weight: factor on the loss on the labels; >= 0.
    Shape:
        student, teacher: (B, K) logits. target: (B,) int64, unused. Returns: () without unit, in [0, 2 (beta + gamma)]
        times temperature**2.
    Raises:
        ValueError: temperature <= 0 or a negative weight.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        beta: float = 1.0,
        gamma: float = 1.0,
        weight: float = 1.0,
        hard_weight: float = 1.0,
    ):
        super().__init__()
        check_options(temperature=temperature, beta=beta, gamma=gamma, weight=weight, hard_weight=hard_weight)
        self.temperature, self.beta, self.gamma = temperature, beta, gamma
        self.weight, self.hard_weight = weight, hard_weight

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        ours, theirs = (F.softmax(logits / self.temperature, 1) for logits in (student, teacher))
        classes, pictures = _unlike(ours, theirs), _unlike(ours.T, theirs.T)
        return self.temperature**2 * (self.beta * classes + self.gamma * pictures)


def _unlike(ours: Tensor, theirs: Tensor) -> Tensor:
    """1 - Pearson's correlation of each row, mean over the rows; a row without any spread correlates with nothing."""
    ours, theirs = (rows - rows.mean(1, keepdim=True) for rows in (ours, theirs))
    return (1 - F.cosine_similarity(ours, theirs, dim=1, eps=1e-8)).mean()
