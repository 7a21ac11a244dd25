"""Random: the control that every other criterion has to beat."""

import torch
from torch import Tensor

from . import criteria


@criteria.add("random")
def random(rows: list[Tensor], generator: torch.Generator) -> Tensor:
    """Uniform in [0, 1), drawn from the step's seed.

    Shape:
        rows: tensors (width, n_l). Returns: (width,).
    """
    return torch.rand(len(rows[0]), generator=generator)
