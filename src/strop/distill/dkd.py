"""Decoupled knowledge distillation."""

import torch
import torch.nn as nn
from torch import Tensor

from . import losses
from .softening import check_options, divergence, soften, without


@losses.add("dkd")
class DKD(nn.Module):
    """Weigh "is it the target class?" and "if not, which class?" separately.

    loss = temperature**2 * (alpha KL(b_teacher || b_student) + beta KL(q_teacher || q_student)), batch mean;
    b is the two-way split (p_target, 1 - p_target), q is p without the target class, summing to 1 again, and
    p = softmax(z / temperature). With alpha = 1 and 1 - p_target of the teacher in place of beta it is `kd`.

    Source: Zhao et al., "Decoupled Knowledge Distillation", CVPR 2022, arXiv:2203.08679; `standardize` as in `kd`.
    Their settings: beta 8 and temperature 4 for CIFAR-100 (raised over the first 20 epochs), 0.5 and 1 for ImageNet.
    Unlike the authors' code: in log space, so confident logits do not give infinity; no raising.

    Args:
        temperature: > 0, no unit.
        alpha: weight of the two-way term; >= 0.
        beta: weight of the term among the other classes; >= 0.
        standardize: compare shapes of the logits, not their scale.
        weight: factor on this loss; >= 0.
        hard_weight: factor on the loss on the labels; >= 0.
    Shape:
        student, teacher: (B, K) logits, K >= 2. target: (B,) int64. Returns: () in nats.
    Raises:
        ValueError: temperature <= 0 or a negative weight.
    """

    def __init__(
        self,
        temperature: float = 4.0,
        alpha: float = 1.0,
        beta: float = 8.0,
        standardize: bool = False,
        weight: float = 1.0,
        hard_weight: float = 1.0,
    ):
        super().__init__()
        check_options(temperature=temperature, alpha=alpha, beta=beta, weight=weight, hard_weight=hard_weight)
        self.temperature, self.standardize = temperature, standardize
        self.alpha, self.beta = alpha, beta
        self.weight, self.hard_weight = weight, hard_weight

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        ours, theirs = soften(student, teacher, self.temperature, self.standardize)
        two_way = divergence(_split(ours, target), _split(theirs, target))
        others = divergence(without(ours, target), without(theirs, target))
        return self.temperature**2 * (self.alpha * two_way + self.beta * others)


def _split(log_probabilities: Tensor, target: Tensor) -> Tensor:
    """log (p_target, 1 - p_target); the second by adding up the others, which is exact where it is tiny. (B, 2)."""
    hit = nn.functional.one_hot(target, log_probabilities.shape[1]) == 1
    others = log_probabilities.masked_fill(hit, -torch.inf).logsumexp(1)
    return torch.stack([log_probabilities[hit], others], 1)
