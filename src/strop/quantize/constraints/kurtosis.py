"""Kurtosis regularisation: the tails of the weights as the quantizer wants them."""

import torch
import torch.nn as nn
from torch import Tensor

from . import constraints
from .layers import trained_layers


@constraints.add("kurtosis")
class Kurtosis:
    """Pull the kurtosis of each layer's weights to a target; biases, norms and frozen layers are left alone.

    penalty = strength * mean over layers of (mean(((w - m) / s)^4) - target)^2, m and s the layer's mean and standard
    deviation. It is added to the mean loss of each batch. A uniform spread has 1.8 and uses all levels of int8 alike, a
    Gaussian has 3, outliers make it larger.

    Source: Shkolnik et al., "Robust Quantization: One Model to Rule Them All", NeurIPS 2020, arXiv:2002.07686 (KURE:
    target 1.8, strength 1).

    Args:
        target: > 1, which no distribution falls below; 1.8 uniform, 3 Gaussian.
        strength: factor on the penalty; >= 0.
    Raises:
        ValueError: a target of 1 or less, or a negative strength.
    """

    def __init__(self, target: float = 1.8, strength: float = 1.0):
        if target <= 1:
            raise ValueError(f"target is {target}; it must be above 1.")
        if strength < 0:
            raise ValueError(f"strength is {strength}; it must not be negative.")
        self.target, self.strength = target, strength

    def penalty(self, model: nn.Module) -> Tensor:
        """What is added to the mean loss. Shape: ()."""
        found = [(kurtosis(weight) - self.target).square() for weight in trained_layers(model)]
        return self.strength * torch.stack(found).mean() if found else torch.zeros(())

    def __call__(self, model: nn.Module, lr: float, update: int = 0) -> None:
        """Nothing: it acts through the loss."""


def kurtosis(weight: Tensor) -> Tensor:
    """mean(((w - m) / s)^4); s is at least 1e-12, so weights that are all equal give 0. Shape: returns ()."""
    spread, middle = torch.std_mean(weight.float(), correction=0)
    return ((weight.float() - middle) / spread.clamp_min(1e-12)).pow(4).mean()
