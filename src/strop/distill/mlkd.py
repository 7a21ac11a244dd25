"""Multi-level logit distillation, on one view of each picture."""

import torch.nn as nn
from torch import Tensor

from . import losses
from .softening import check_options, divergence, soften


@losses.add("mlkd")
class MLKD(nn.Module):
    """Match the teacher at several temperatures: picture by picture, and in what it finds alike in a batch.

    loss = mean over temperatures T of T**2 KL(p' || p) + pictures ||P P^t - P' P'^t||^2 / B^2
    + classes ||P^t P - P'^t P'||^2 K / B^2; P and P' are the (B, K) softmax of z / T of student and teacher.

    Source: Jin et al., "Multi-Level Logit Distillation", CVPR 2023 (temperatures 2 to 6); `standardize` as in `kd`.
    Unlike them: one view of each picture instead of a weak and a strong one, at half of their cost; every picture
    counts, not only those of which the teacher is sure; the likenesses are scaled so that neither the batch size nor
    the number of classes changes their size (theirs, divided by B and by K, are 64 and 0.4 times as large at their 64
    pictures and 100 classes; at 128 and 10 they made the training diverge, see docs/log.md).

    Args:
        temperatures: joined by "/", each > 0.
        pictures: weight of the likeness of pictures; >= 0.
        classes: weight of the likeness of classes; >= 0.
        standardize: compare shapes of the logits, not their scale.
        weight: factor on this loss; >= 0.
        hard_weight: factor on the loss on the labels; >= 0.
    Shape:
        student, teacher: (B, K) logits. target: (B,) int64, unused. Returns: ().
    Raises:
        ValueError: a temperature that is no number above 0, or a negative weight.
    """

    def __init__(
        self,
        temperatures: str = "2/3/4/5/6",
        pictures: float = 1.0,
        classes: float = 1.0,
        standardize: bool = False,
        weight: float = 1.0,
        hard_weight: float = 1.0,
    ):
        super().__init__()
        try:
            self.temperatures = tuple(float(text) for text in temperatures.split("/"))
        except ValueError:
            raise ValueError(f"temperatures is '{temperatures}'. Write numbers joined by /, as in 2/3/4.") from None
        for temperature in self.temperatures:
            check_options(temperature=temperature)
        check_options(pictures=pictures, classes=classes, weight=weight, hard_weight=hard_weight)
        self.pictures, self.classes, self.standardize = pictures, classes, standardize
        self.weight, self.hard_weight = weight, hard_weight

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        levels = (
            self._at(temperature, *soften(student, teacher, temperature, self.standardize))
            for temperature in self.temperatures
        )
        return sum(levels) / len(self.temperatures)

    def _at(self, temperature: float, log_ours: Tensor, log_theirs: Tensor) -> Tensor:
        batch, classes = log_ours.shape
        ours, theirs = log_ours.exp(), log_theirs.exp()
        alike_pictures = (ours @ ours.T - theirs @ theirs.T).square().mean()
        alike_classes = (ours.T @ ours - theirs.T @ theirs).square().sum() * classes / batch**2
        picture_by_picture = temperature**2 * divergence(log_ours, log_theirs)
        return picture_by_picture + self.pictures * alike_pictures + self.classes * alike_classes
