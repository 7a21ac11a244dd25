"""Random: the control that every other criterion has to beat."""

import torch
from torch import Tensor

from ..channels import Channels
from . import criteria


@criteria.add("random")
def random(channels: Channels, generator: torch.Generator) -> Tensor:
    """Uniform in [0, 1), drawn from the step's seed.

    Shape:
        Returns: (width,).
    """
    return torch.rand(len(channels.makers[0]), generator=generator)
