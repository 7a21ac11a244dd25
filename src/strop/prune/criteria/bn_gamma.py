"""Batch-norm scale: what network slimming makes small."""

import torch
from torch import Tensor

from ...errors import UserError
from ..channels import Channels
from . import criteria


@criteria.add("bn-gamma")
def bn_gamma(channels: Channels, generator: torch.Generator) -> Tensor:
    """The size of the batch norm's scale; train with `--sparsify bn-gamma` before, so that it says something.

    importance_c = mean over the group's batch norms of |gamma_c|

    Source: Liu et al., "Learning Efficient Convolutional Networks through Network Slimming", ICCV 2017,
    arXiv:1708.06519.

    Shape:
        Returns: (width,), no unit; comparable between layers as it is.
    Raises:
        UserError: the channels pass no batch norm.
    """
    if not channels.scales:
        raise UserError(
            "--criterion bn-gamma",
            f"the channels of {channels.name} pass no batch norm. Write --criterion group-norm, or taylor.",
        )
    return torch.stack(channels.scales).float().abs().mean(0)
