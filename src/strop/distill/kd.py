"""Knowledge distillation, with logit standardisation."""

import torch.nn as nn
from torch import Tensor

from . import losses
from .softening import check_options, divergence, soften


@losses.add("kd")
class KD(nn.Module):
    """Match the teacher's softened distribution.

    loss = temperature**2 * KL(softmax(z_teacher / temperature) || softmax(z_student / temperature)), batch mean;
    z are the logits or, standardised, (logits - mean) / sd over the classes of each picture.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, arXiv:1503.02531; Sun et al.,
    "Logit Standardization in Knowledge Distillation", CVPR 2024, arXiv:2403.01427 (standardize; they use it with
    temperature=2, weight=9 over hundreds of epochs; over ten epochs it was unstable here, see docs/log.md).
    Unlike the latter's code: log-softmax throughout, so extreme logits stay finite.

    Args:
        temperature: > 0, no unit; higher looks at more classes.
        standardize: compare shapes of the logits, not their scale.
        weight: factor on this loss; >= 0.
        hard_weight: factor on the loss on the labels; >= 0.
    Shape:
        student, teacher: (B, K) logits. target: (B,) int64, unused. Returns: () in nats.
    Raises:
        ValueError: temperature <= 0 or a negative weight.
    """

    def __init__(
        self, temperature: float = 4.0, standardize: bool = False, weight: float = 0.9, hard_weight: float = 0.1
    ):
        super().__init__()
        check_options(temperature=temperature, weight=weight, hard_weight=hard_weight)
        self.temperature, self.standardize = temperature, standardize
        self.weight, self.hard_weight = weight, hard_weight

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        return self.temperature**2 * divergence(*soften(student, teacher, self.temperature, self.standardize))
