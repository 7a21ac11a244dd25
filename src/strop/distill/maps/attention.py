"""Attention transfer: the student looks where the teacher looks."""

from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..softening import check_options
from . import maps
from .pairs import same_size


@maps.add("attention")
class Attention(nn.Module):
    """Match where maps are strong, whatever channel is.

    loss = sum over pairs of stages of the mean over pictures and positions of (q_s - q_t)^2; q is the map's mean of
    |value|^p over its channels, divided by its norm over the positions. Of maps of two sizes the larger is pooled to
    the smaller (adaptive mean) first. Channels need not agree, so nothing is trained beside the student.

    Source: Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017, arXiv:1612.03928, in the form of
    the authors' code (mean instead of norm; p = 2 and weight 1000, after the last layer of each group of a ResNet).

    Args:
        student: stages joined by "/", "last" (before the head) or "all" (but stem and head).
        teacher: the same for the teacher; "same" for the names in `student`.
        p: power of the values; > 0.
        weight: factor on this loss; >= 0.
    Shape:
        ours, theirs: lists of (B, C, H, W) float. Returns: () without unit, in [0, 2 / (H W)] for each pair.
    Raises:
        ValueError: p <= 0 or a negative weight.
    """

    def __init__(self, student: str = "all", teacher: str = "same", p: float = 2.0, weight: float = 1000.0):
        super().__init__()
        check_options(weight=weight)
        if p <= 0:
            raise ValueError(f"p is {p}; it must be above 0.")
        self.student, self.teacher, self.p, self.weight = student, teacher, p, weight

    def fit(self, channels: Sequence[tuple[int, int]], generator: torch.Generator) -> None:
        """Nothing is trained here."""

    def forward(self, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
        return sum(self._of_pair(*same_size(s, t)) for s, t in zip(ours, theirs, strict=True))

    def _of_pair(self, ours: Tensor, theirs: Tensor) -> Tensor:
        ours, theirs = (F.normalize(values.abs().pow(self.p).mean(1).flatten(1)) for values in (ours, theirs))
        return (ours - theirs).square().mean()
