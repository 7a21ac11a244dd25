"""Sharpness-aware minimisation: two gradients for each update."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..data.load import Batch
from ..data.parts import Cut
from .gradient import batch_gradient
from .objective import Loss


def sam_gradient(
    objective: torch.nn.Module,
    batch: Batch,
    cut: Cut,
    *,
    rho: float,
    gradient: Callable[..., Loss] = batch_gradient,
    **which: int,
) -> Loss:
    """Leave the gradient at the worst place nearby; a `gradient` for `fit`.

    With g the gradient of the batch at w: w' = w + rho g / ||g||, the norm over all parameters; what is left in `.grad`
    is the gradient of the same batch at w', and the weights are w again. Both passes see the same dropout and the same
    mixing; buffers, such as the statistics of batch norm, and the loss are those of the first. An update costs twice
    as much.

    Source: Foret et al., "Sharpness-Aware Minimization", ICLR 2021, arXiv:2010.01412, algorithm 1 with p = 2.

    Args:
        rho: how far "nearby" is, in the unit of the weights; > 0. The paper has 0.05 for most.
        gradient: of the two passes, with its precision, scaling and ranks bound.
        which: seed and step.
    """
    loss = gradient(objective, batch, cut, **which)
    before = _climb(objective, rho)
    gradient(objective, batch, cut, **which)
    _write(before)
    return loss


@torch.no_grad()
def _climb(objective: torch.nn.Module, rho: float) -> list[tuple[Tensor, Tensor]]:
    """Go to w'. Returns parameters and buffers, each with its value before: going back by subtraction would round."""
    moved = [p for p in objective.parameters() if p.requires_grad and p.grad is not None]
    before = [(tensor, tensor.clone()) for tensor in [*moved, *objective.buffers()]]
    gradients = [parameter.grad for parameter in moved]
    norm = torch.stack(torch._foreach_norm(gradients)).norm()
    steps = torch._foreach_mul(gradients, rho / (norm + 1e-12))
    torch._foreach_add_(moved, steps)
    return before


@torch.no_grad()
def _write(before: list[tuple[Tensor, Tensor]]) -> None:
    for tensor, value in before:
        tensor.copy_(value)
