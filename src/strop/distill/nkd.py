"""Normalised knowledge distillation."""

import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from . import losses
from .softening import check_options, divergence, soften, without


@losses.add("nkd")
class NKD(nn.Module):
    """Trust the labels as far as the teacher does, and match it among the other classes, normalised.

    loss = -t_target log s_target + gamma temperature**2 KL(q_teacher || q_student), batch mean; s and t are the
    softmax of student and teacher at temperature 1, q their softmax at `temperature` without the target class,
    summing to 1 again.

    Source: Yang et al., "From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach with
    Normalized Loss and Customized Soft Labels", ICCV 2023, arXiv:2303.13005 (gamma 1.5 and temperature 1 for ImageNet).
    Unlike them: the teacher's entropy is taken off the second term, which leaves its gradient as it is and makes it
    zero where both agree. The first term is never zero: it is a loss on the labels.

    Args:
        temperature: > 0, no unit; of the second term.
        gamma: weight of the second term; >= 0.
        weight: factor on this loss; >= 0.
        hard_weight: factor on the loss on the labels; >= 0.
    Shape:
        student, teacher: (B, K) logits, K >= 2. target: (B,) int64. Returns: () in nats.
    Raises:
        ValueError: temperature <= 0 or a negative weight.
    """

    def __init__(self, temperature: float = 1.0, gamma: float = 1.5, weight: float = 1.0, hard_weight: float = 1.0):
        super().__init__()
        check_options(temperature=temperature, gamma=gamma, weight=weight, hard_weight=hard_weight)
        self.temperature, self.gamma = temperature, gamma
        self.weight, self.hard_weight = weight, hard_weight

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        trust = F.softmax(teacher, 1).gather(1, target[:, None])
        on_target = -(trust * F.log_softmax(student, 1).gather(1, target[:, None])).mean()
        ours, theirs = (without(p, target) for p in soften(student, teacher, self.temperature))
        return on_target + self.gamma * self.temperature**2 * divergence(ours, theirs)
