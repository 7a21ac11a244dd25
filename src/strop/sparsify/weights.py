"""What the regularisers share: which weights they move, how many are zero, and the check of their options."""

from collections.abc import Iterator

import torch.nn as nn
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

LAYERS = (nn.Conv2d, nn.Linear)


def trained_weights(model: nn.Module, kinds: type | tuple[type, ...] = LAYERS) -> Iterator[Tensor]:
    """The weight of each module of these kinds that has one, but for frozen ones; a shared one once."""
    found = {id(module.weight): module.weight for module in model.modules() if isinstance(module, kinds)}
    yield from (weight for weight in found.values() if weight is not None and weight.requires_grad)


def zero_share(model: nn.Module) -> float:
    """Share of exactly zero weights in convolutions and linear layers, in [0, 1]."""
    weights = list({id(m.weight): m.weight for m in model.modules() if isinstance(m, LAYERS)}.values())
    return sum(int((w == 0).sum()) for w in weights) / max(1, sum(w.numel() for w in weights))


def layer_zeros(model: nn.Module) -> dict[str, tuple[int, int]]:
    """(zeros, weights) of each convolution, linear layer and batch norm (of which the scales count), by name."""
    return {
        name: (int((module.weight == 0).sum()), module.weight.numel())
        for name, module in model.named_modules()
        if isinstance(module, (*LAYERS, _BatchNorm)) and module.weight is not None
    }


def check_strength(strength: float, name: str = "strength") -> float:
    """Raises ValueError for a strength < 0."""
    if strength < 0:
        raise ValueError(f"{name} is {strength}; it must not be negative.")
    return strength
