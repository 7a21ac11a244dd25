"""What the regularisers share: which weights they move, and the check of their strength."""

from collections.abc import Iterator

import torch.nn as nn
from torch import Tensor

LAYERS = (nn.Conv2d, nn.Linear)


def trained_weights(model: nn.Module, kinds: type | tuple[type, ...] = LAYERS) -> Iterator[Tensor]:
    """The weight of each module of these kinds that has one, but for frozen ones."""
    for module in model.modules():
        if isinstance(module, kinds) and module.weight is not None and module.weight.requires_grad:
            yield module.weight


def check_strength(strength: float) -> float:
    """Raises ValueError for a strength < 0."""
    if strength < 0:
        raise ValueError(f"strength is {strength}; it must not be negative.")
    return strength
