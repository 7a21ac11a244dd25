"""Magnitude: the norm of a channel's own filters."""

import torch
from torch import Tensor

from ..channels import Channels
from . import criteria


@criteria.add("magnitude")
def magnitude(channels: Channels, generator: torch.Generator, *, p: float = 1.0) -> Tensor:
    """The norm of the filter that makes the channel; the layers that read it do not count.

    importance_c = ||W_0[c]||_p / mean_c' ||W_0[c']||_p, with layer 0 the one that makes the channels.

    Source: Li et al., "Pruning Filters for Efficient ConvNets", 2017, arXiv:1608.08710.

    Args:
        p: order of the norm; >= 1.
    Shape:
        Returns: (width,), no unit.
    """
    norm = torch.linalg.vector_norm(channels.makers[0].float(), ord=p, dim=1)
    return norm / norm.mean().clamp_min(1e-12)
