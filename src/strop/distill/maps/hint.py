"""Hints: the student's maps, through an adapter, match the teacher's."""

from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor

from ..softening import check_options
from . import maps
from .pairs import same_size

SMALLEST = 1e-6


@maps.add("hint")
class Hint(nn.Module):
    """Match the teacher's maps, through a 1x1 convolution where the channels differ.

    loss = sum over pairs of stages of the mean over pictures of ||r(s) - t||^2 / ||t||^2; s and t are the maps of
    student and teacher, r the adapter: the identity for equal numbers of channels, else a 1x1 convolution that is
    trained beside the student. Of maps of two sizes the larger is pooled to the smaller (adaptive mean).

    Source: Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv:1412.6550.
    Unlike them: beside the loss on the labels (and on the logits, with `kd+hint`), not in a stage of its own before
    it; each picture is divided by the teacher's sum of squares (at least 1e-6 a value) instead of by 2, so `weight`
    means the same for every network and stage; the regressor is 1x1 at every size.

    Args:
        student: stages joined by "/", "last" (before the head) or "all" (but stem and head).
        teacher: the same for the teacher; "same" for the names in `student`.
        weight: factor on this loss; >= 0.
    Shape:
        ours, theirs: lists of (B, C, H, W) float. Returns: () without unit; 0 where all agree.
    Raises:
        ValueError: a negative weight.
    """

    def __init__(self, student: str = "last", teacher: str = "same", weight: float = 1.0):
        super().__init__()
        check_options(weight=weight)
        self.student, self.teacher, self.weight = student, teacher, weight
        self.adapters = nn.ModuleList()

    def fit(self, channels: Sequence[tuple[int, int]], generator: torch.Generator) -> None:
        """Make the adapters, He-initialised."""
        self.adapters = nn.ModuleList(_adapter(ours, theirs, generator) for ours, theirs in channels)

    def forward(self, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
        return sum(map(self._of_pair, self.adapters, ours, theirs))

    @staticmethod
    def _of_pair(adapter: nn.Module, ours: Tensor, theirs: Tensor) -> Tensor:
        ours, theirs = same_size(ours, theirs)
        off = (adapter(ours).float() - theirs).square().flatten(1).mean(1)
        return (off / theirs.square().flatten(1).mean(1).clamp_min(SMALLEST)).mean()


def _adapter(ours: int, theirs: int, generator: torch.Generator) -> nn.Module:
    if ours == theirs:
        return nn.Identity()
    adapter = nn.Conv2d(ours, theirs, 1)
    nn.init.kaiming_normal_(adapter.weight, nonlinearity="linear", generator=generator)
    nn.init.zeros_(adapter.bias)
    return adapter
