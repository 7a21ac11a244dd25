"""L1 by proximal steps: weights that don't pay become exactly zero."""

import torch
import torch.nn as nn

from . import regularisers
from .weights import check_strength, trained_weights


@regularisers.add("l1")
class L1:
    """Pull the weights of convolutions and linear layers to zero; biases, norms and frozen layers are left alone.

    w <- sign(w) * max(|w| - lr * strength, 0) after each update, the proximal step of strength * ||w||_1.

    Source: Beck and Teboulle, "A Fast Iterative Shrinkage-Thresholding Algorithm", 2009 (soft thresholding).
    Unlike a penalty in the loss: zeros are exact, so they can be counted and removed.

    Args:
        strength: factor on the L1 norm; >= 0.
    Raises:
        ValueError: strength < 0.
    """

    label = "L1"

    def __init__(self, strength: float = 1e-4):
        self.strength = check_strength(strength)

    @torch.no_grad()
    def __call__(self, model: nn.Module, lr: float, update: int = 0) -> None:
        for weight in trained_weights(model):
            weight.copy_(nn.functional.softshrink(weight, lr * self.strength))
