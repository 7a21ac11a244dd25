"""Sharpness-aware minimisation: a loop of its own, because each update needs two gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor

from ..errors import NotFinite
from ..launch import ALONE
from .fit import Progress
from .gradient import batch_gradient
from .scaling import UNSCALED, Unscaled


def fit_flat(
    objective: torch.nn.Module,
    loader,
    optimizer: torch.optim.Optimizer,
    *,
    rho: float,
    epochs: int,
    schedule: Callable[[float], float],
    seed: int = 0,
    start: int = 0,
    sums: dict[str, Tensor] | None = None,
    precision: Callable[[], AbstractContextManager] = nullcontext,
    scaling: Unscaled = UNSCALED,
    after_update: Callable[[float], None] | None = None,
    save_now: Callable[[], bool] = lambda: False,
    ranks=ALONE,
) -> Iterator[Progress]:
    """Train as `fit` does, but descend by the gradient at the worst place nearby.

    With g the gradient of the batch at w: w' = w + rho g / ||g||, the norm over all parameters; the optimizer steps
    from w with the gradient of the same batch at w'. Both passes see the same dropout and the same mixing; buffers,
    such as the statistics of batch norm, and what is shown as loss are those of the first. An update costs twice as
    much.

    Source: Foret et al., "Sharpness-Aware Minimization", ICLR 2021, arXiv:2010.01412, algorithm 1 with p = 2.

    Args:
        rho: how far "nearby" is, in the unit of the weights; > 0. The paper has 0.05 for most.
        The others are those of `fit`.

    Raises:
        NotFinite: the loss is NaN or infinite.
    """
    per_epoch = len(loader)
    base = [group.setdefault("initial_lr", group["lr"]) for group in optimizer.param_groups]
    device = next(objective.parameters()).device
    sums = {name: part.to(device) for name, part in (sums or {}).items()}
    for epoch in range(start // per_epoch, epochs):
        first = max(start - epoch * per_epoch, 0)
        for step, batch in enumerate(loader.epoch(epoch, first), epoch * per_epoch + first):
            factor = schedule(step / (epochs * per_epoch))
            for group, lr in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = lr * factor
            objective.mode(train=True)
            cut = loader.cut(step - epoch * per_epoch)
            how = {"precision": precision, "backward": scaling.backward, "ranks": ranks}
            gradient = partial(batch_gradient, seed=seed, step=step, **how)
            loss = gradient(objective, batch, cut)
            mean = loss.total / loss.weight
            if not torch.isfinite(mean):
                raise NotFinite(f"the loss is {mean.item()}", step=step, epoch=epoch + 1, lr=base[0] * factor)
            before = _climb(objective, rho)
            gradient(objective, batch, cut)
            _write(before)
            scaling.step(optimizer)
            if after_update:
                after_update(base[0] * factor)
            for name, part in loss.parts.items():
                sums[name] = sums[name] + part if name in sums else part
            done = step + 1
            if done % per_epoch == 0 or save_now():
                yield Progress(done, done // per_epoch, done % per_epoch == 0, base[0] * factor, dict(sums))
        sums = {}


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
