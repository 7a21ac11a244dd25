"""Group lasso: filters that don't pay become zero as a whole."""

import torch
import torch.nn as nn

from . import regularisers
from .weights import check_strength, trained_weights


@regularisers.add("group-lasso")
class GroupLasso:
    """Pull whole filters to zero: the rows of convolutions and linear layers. Frozen layers are left alone.

    w_c <- w_c * max(1 - lr * strength * sqrt(n) / ||w_c||_2, 0) after each update, the proximal step of
    strength * sum over filters c of sqrt(n) ||w_c||_2, n the weights of a filter.

    Source: Yuan and Lin, "Model Selection and Estimation in Regression with Grouped Variables", JRSS B 2006; for
    networks Wen et al., "Learning Structured Sparsity in Deep Neural Networks", NeurIPS 2016, arXiv:1608.03665.
    Unlike the latter: proximal steps, so zeros are exact.

    Args:
        strength: factor on the norm; >= 0.
    Raises:
        ValueError: strength < 0.
    """

    label = "group lasso"

    def __init__(self, strength: float = 1e-4):
        self.strength = check_strength(strength)

    @torch.no_grad()
    def __call__(self, model: nn.Module, lr: float) -> None:
        for weight in trained_weights(model):
            rows = weight.flatten(1)
            norm = torch.linalg.vector_norm(rows, dim=1).clamp_min(1e-30)
            kept = (1 - lr * self.strength * rows.shape[1] ** 0.5 / norm).clamp_min(0)
            weight.mul_(kept.view(-1, *[1] * (weight.ndim - 1)))
