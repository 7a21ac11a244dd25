"""L2 by proximal steps: weights shrink by a share, whatever the optimizer."""

import torch
import torch.nn as nn

from . import regularisers
from .weights import check_strength, trained_weights


@regularisers.add("l2")
class L2:
    """Shrink the weights of convolutions and linear layers; biases, norms and frozen layers are left alone.

    w <- w / (1 + lr * strength) after each update, the proximal step of strength / 2 * ||w||_2^2. None becomes zero.

    Source: Tikhonov regularisation; as a proximal step Zhuang et al., "Understanding AdamW through Proximal Methods and
    Scale-Freeness", 2022, arXiv:2202.00089.
    Unlike `weight_decay`: that of sgd and adam adds weight_decay * w to the gradient, so it goes through momentum and,
    with adam, is divided by the gradient's size; that of adamw multiplies by 1 - lr * weight_decay before the step,
    which this is up to (lr * strength)^2, without changing signs at any strength. Both act where both are given.

    Args:
        strength: factor on half the squared norm; >= 0.
    Raises:
        ValueError: strength < 0.
    """

    label = "L2"

    def __init__(self, strength: float = 5e-4):
        self.strength = check_strength(strength)

    @torch.no_grad()
    def __call__(self, model: nn.Module, lr: float, update: int = 0) -> None:
        for weight in trained_weights(model):
            weight.div_(1 + lr * self.strength)
