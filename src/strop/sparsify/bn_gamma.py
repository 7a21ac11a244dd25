"""Network slimming: channels that don't pay get a batch-norm scale of exactly zero."""

import torch
import torch.nn as nn
from torch.nn.modules.batchnorm import _BatchNorm

from . import regularisers
from .weights import check_strength, trained_weights


@regularisers.add("bn-gamma")
class BNGamma:
    """Pull the scales of batch norms to zero; everything else and frozen layers are left alone.

    gamma <- sign(gamma) * max(|gamma| - lr * strength, 0) after each update, the proximal step of
    strength * ||gamma||_1.

    Source: Liu et al., "Learning Efficient Convolutional Networks through Network Slimming", ICCV 2017,
    arXiv:1708.06519 (1e-4 on CIFAR, 1e-5 on ImageNet). Unlike their subgradient: zeros are exact.

    Args:
        strength: factor on the L1 norm of the scales; >= 0.
    Raises:
        ValueError: strength < 0.
    """

    label = "L1 of scales"

    def __init__(self, strength: float = 1e-4):
        self.strength = check_strength(strength)

    @torch.no_grad()
    def __call__(self, model: nn.Module, lr: float, update: int = 0) -> None:
        for scales in trained_weights(model, _BatchNorm):
            scales.copy_(nn.functional.softshrink(scales, lr * self.strength))
