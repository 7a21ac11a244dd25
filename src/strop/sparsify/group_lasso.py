"""Group lasso: filters that don't pay become zero as a whole."""

import torch
import torch.nn as nn

from . import regularisers


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
        if strength < 0:
            raise ValueError(f"strength is {strength}; it must not be negative.")
        self.strength = strength

    @torch.no_grad()
    def __call__(self, model: nn.Module, lr: float) -> None:
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.requires_grad:
                rows = module.weight.flatten(1)
                norm = torch.linalg.vector_norm(rows, dim=1).clamp_min(1e-30)
                kept = (1 - lr * self.strength * rows.shape[1] ** 0.5 / norm).clamp_min(0)
                module.weight.mul_(kept.view(-1, *[1] * (module.weight.ndim - 1)))
