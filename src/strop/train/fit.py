"""The loop. There is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import NotFinite
from .gradient import batch_gradient
from .objective import Loss
from .scaling import UNSCALED


@dataclass(frozen=True)
class Progress:
    """Where the loop stands when it hands control back.

    Attributes:
        step: updates done since the beginning of training.
        epoch: whole epochs done.
        epoch_done: an epoch has just ended; `sums` then cover all of it.
        sums: the objective's named parts, summed since the epoch began.
        lr: learning rate of the last update.
    """

    step: int
    epoch: int
    epoch_done: bool
    lr: float
    sums: dict[str, Tensor] = field(default_factory=dict)


def fit(
    objective: torch.nn.Module,
    loader,
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    schedule: Callable[[float], float],
    seed: int = 0,
    start: int = 0,
    sums: dict[str, Tensor] | None = None,
    gradient: Callable[..., Loss] = batch_gradient,
    update: Callable[[torch.optim.Optimizer], None] = UNSCALED.step,
    after_update: Callable[[float], None] | None = None,
    save_now: Callable[[], bool] = lambda: False,
) -> Iterator[Progress]:
    """Train, and yield whenever the caller may want to evaluate, save, or stop.

    Yields at each epoch's end and at each save point. Everything random is a function of `seed` and
    the step, so going on from `start` with the same weights, optimizer state and `sums` gives the
    same bits as not having stopped.

    Args:
        objective: see `train.objective`; called with uint8 images and targets, gives a `Loss`.
        optimizer: its learning rates are those at factor 1; kept as `initial_lr` in its groups, where torch's own
            schedules keep them, so that an optimizer that has been in a loop can go into another.
        loader: `len(loader)` updates an epoch; `loader.epoch(e, start)` iterates over batches; `loader.cut(i)` says how
            batch i of an epoch is cut, see `data.parts`.
        schedule: the factor on the learning rate at a point of training in [0, 1).
        start: updates already done; `sums` belong to the epoch it lies in.
        gradient: `batch_gradient` with its precision, scaling and ranks bound, or a function of the same form that
            leaves another gradient, as `train.sam` does.
        update: moves the weights by the gradient: `optimizer.step()`, or the `step` of `train.scaling`.
        after_update: the second seam, called with the learning rate after every update.
        save_now: asked after every update; true makes the loop yield.

    Raises:
        NotFinite: the loss is NaN or infinite.

    Example:
        >>> for progress in fit(objective, loader, optimizer, epochs=2, schedule=lambda t: 1.0):
        ...     if progress.epoch_done:
        ...         print(progress.epoch, progress.sums["loss"])
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
            loss = gradient(objective, batch, loader.cut(step - epoch * per_epoch), seed=seed, step=step)
            mean = loss.total / loss.weight
            if not torch.isfinite(mean):
                raise NotFinite(f"the loss is {mean.item()}", step=step, epoch=epoch + 1, lr=base[0] * factor)
            update(optimizer)
            if after_update:
                after_update(base[0] * factor)
            for name, part in loss.parts.items():
                sums[name] = sums[name] + part if name in sums else part
            done = step + 1
            if done % per_epoch == 0 or save_now():
                yield Progress(done, done // per_epoch, done % per_epoch == 0, base[0] * factor, dict(sums))
        sums = {}
