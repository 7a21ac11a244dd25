"""New weights for a network that was made narrower: what its builder would have begun with at these widths."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

# variance * fan of the customary initialisations: He normal, Glorot or LeCun's 1, and torch's own uniform.
FACTORS = (2.0, 1.0, 1 / 3)
LIKENESS = 0.2


@torch.no_grad()
def fresh_tensors(shapes: Mapping[str, Tensor], whole: nn.Module) -> dict[str, Tensor]:
    """Tensors of the wanted shapes, cut out of a network of full width with new weights.

    weight' = weight[:rows, :columns] * sqrt(fan / fan'), where fan is what the builder scaled by: the outputs or the
    inputs of the layer times its kernel, whichever makes variance * fan a customary factor (2, 1 or 1/3). A weight
    that was drawn with a fixed spread keeps it.

    Source: He et al., "Delving Deep into Rectifiers", ICCV 2015, arXiv:1502.01852, for the fans.

    Args:
        shapes: name -> a tensor of the wanted shape; its values are not looked at.
        whole: the network at full width, just built.
    """
    found = {}
    for name, old in whole.state_dict().items():
        size = shapes[name].shape
        cut = old[tuple(slice(0, n) for n in size)].clone()
        if name.endswith("weight") and old.ndim > 1 and cut.shape != old.shape:
            cut *= _scale(old, cut)
        found[name] = cut
    return found


def _scale(old: Tensor, cut: Tensor) -> float:
    variance = float(old.float().var())
    for dim in (0, 1):  # fan out, then fan in
        fan, now = (tensor.shape[dim] * math.prod(tensor.shape[2:]) for tensor in (old, cut))
        if any(abs(variance * fan / factor - 1) < LIKENESS for factor in FACTORS):
            return math.sqrt(fan / now)
    return 1.0
