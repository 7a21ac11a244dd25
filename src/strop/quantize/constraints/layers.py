"""Which weights a constraint looks at."""

from collections.abc import Iterator

import torch.nn as nn
from torch import Tensor


def trained_layers(model: nn.Module) -> Iterator[Tensor]:
    """The weight of each convolution and linear layer, but for frozen ones; a shared one once."""
    found = {id(m.weight): m.weight for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    yield from (weight for weight in found.values() if weight.requires_grad)
