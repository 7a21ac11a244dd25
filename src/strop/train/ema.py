"""An exponential moving average of the weights, as plain functions over a state dict."""

from __future__ import annotations

import torch
import torch.nn as nn
from torch import Tensor


def start_average(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the model's state, to be moved by `update_average`."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


@torch.no_grad()
def update_average(average: dict[str, Tensor], model: nn.Module, decay: float) -> None:
    """Move the average a little towards the model.

    a <- decay a + (1 - decay) w for parameters; buffers, such as the statistics of batch norm, are copied.

    Source: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992; in this form Szegedy et
    al. 2016, arXiv:1512.00567, section 8.

    Args:
        average: from `start_average`; changed.
        decay: in [0, 1].
    """
    state = model.state_dict(keep_vars=True)
    trained = [name for name, tensor in state.items() if isinstance(tensor, nn.Parameter)]
    torch._foreach_lerp_([average[name] for name in trained], [state[name] for name in trained], 1 - decay)
    for name in state.keys() - set(trained):
        average[name].copy_(state[name])


def decay_at(update: int, decay: float) -> float:
    """min(decay, (1 + n) / (10 + n)) after n updates: a young average forgets the weights it began with.

    Source: TensorFlow's ExponentialMovingAverage, `num_updates`.

    >>> decay_at(0, 0.999), decay_at(90, 0.999), decay_at(100_000, 0.999)
    (0.1, 0.91, 0.999)
    """
    return min(decay, (1 + update) / (10 + update))
