"""Group norm: a channel is worth what all layers that share it put into it."""

import torch
from torch import Tensor

from ..channels import Channels
from . import criteria


@criteria.add("group-norm")
def group_norm(channels: Channels, generator: torch.Generator, *, p: float = 2.0) -> Tensor:
    """The norm of everything that would be removed with the channel.

    importance_c = mean over layers l of ||W_l[c]||_p / mean_c' ||W_l[c']||_p

    Source: Fang et al., "DepGraph: Towards Any Structural Pruning", CVPR 2023, arXiv:2301.12900.
    Unlike it: each layer is scaled to mean 1 first, so that no layer decides alone.

    Args:
        p: order of the norm; >= 1.
    Shape:
        Returns: (width,), no unit.
    """
    scaled = []
    for weights in channels.weights:
        norm = torch.linalg.vector_norm(weights.float(), ord=p, dim=1)
        scaled.append(norm / norm.mean().clamp_min(1e-12))
    return torch.stack(scaled).mean(0)
