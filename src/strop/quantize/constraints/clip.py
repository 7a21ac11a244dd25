"""Clipping at so many standard deviations: no outliers, which cost all other weights of a layer their resolution."""

import torch
import torch.nn as nn

from . import constraints
from .layers import trained_layers


@constraints.add("clip")
class Clip:
    """Pull the outliers of each layer in; biases, norms and frozen layers are left alone.

    w <- min(max(w, m - sd s), m + sd s) after each update, m and s the mean and the standard deviation of all weights
    of the layer. int8 has a step of max |w| / 127, so one weight at 12 s leaves a Gaussian 2 of its 8 bits fewer than
    one at 3 s.

    Source: none of our own; the rule of three sigma. Unlike clipping when quantizing: the network trains with it.

    Args:
        sd: how many standard deviations a weight may be off; >= 1. A Gaussian has 0.27 % beyond 3, 0.006 % beyond 4.
    Raises:
        ValueError: sd < 1, where clipping again and again would pull all weights together.
    """

    def __init__(self, sd: float = 3.0):
        if sd < 1:
            raise ValueError(f"sd is {sd}; it must be at least 1.")
        self.sd = sd

    @torch.no_grad()
    def __call__(self, model: nn.Module, lr: float, update: int = 0) -> None:
        for weight in trained_layers(model):
            spread, middle = torch.std_mean(weight, correction=0)
            weight.clamp_(middle - self.sd * spread, middle + self.sd * spread)
