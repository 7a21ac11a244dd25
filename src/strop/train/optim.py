"""Optimizers and learning-rate schedules, from their names and options."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn as nn

from ..errors import UserError
from ..models.stages import stages
from .optimizers import optimizers
from .schedules import schedules


def make_optimizer(
    model: nn.Module,
    name: str,
    *,
    lr: float,
    weight_decay: float,
    scales: dict[str, float] | None = None,
    options: dict[str, Any] | None = None,
    beside: Iterable[nn.Parameter] = (),
) -> torch.optim.Optimizer:
    """An optimizer over the trainable parameters; no decay on biases and norms.

    Args:
        name: one of `train.optimizers`; `options` are its own.
        lr: learning rate; > 0.
        weight_decay: L2 coefficient; >= 0.
        scales: factor on the learning rate of parameters by name; 1 where there is none. The groups come in falling
            order of it, so the first one's rate, which is the one that is shown, is `lr` itself.
        beside: parameters that are trained with the model's, at `lr`.
    Raises:
        UserError: the optimizer refuses its options.
    """
    scales = scales or {}
    found: dict[tuple[float, bool], list[nn.Parameter]] = {}
    trained = [(scales.get(path, 1.0), parameter) for path, parameter in model.named_parameters()]
    for scale, parameter in [*trained, *((1.0, parameter) for parameter in beside)]:
        if parameter.requires_grad:
            found.setdefault((scale, parameter.ndim > 1), []).append(parameter)
    groups = [
        {"params": found[scale, decays], "weight_decay": weight_decay if decays else 0.0, "lr": lr * scale}
        for scale, decays in sorted(found, reverse=True)
    ]
    try:
        return optimizers.get(name)(groups, lr, **(options or {}))
    except ValueError as error:
        raise UserError(f"optimizer {name}", str(error)) from None


def layer_scales(net: nn.Module, num_classes: int, decay: float) -> dict[str, float]:
    """Factors on the learning rate that fall from the head to the stem: decay**(stages between it and the head).

    Source: Clark et al., "ELECTRA", ICLR 2020, arXiv:2003.10555; for pictures Bao et al., "BEiT", 2021,
    arXiv:2106.08254. Unlike these, which count blocks: the stages of `models.stages`, whose names all families have
    (of a ViT they are its blocks).

    Args:
        decay: in (0, 1]; 1 changes nothing.
    Returns:
        name of each parameter -> factor.
    """
    parts = list(stages(net, num_classes).values())
    return {name: decay ** (len(parts) - 1 - depth) for depth, names in enumerate(parts) for name in names}


def clip_gradients(optimizer: torch.optim.Optimizer, limit: float) -> None:
    """From now on, before each of its steps, scale the gradient of all its parameters down to a norm of `limit`.

    g <- g min(1, limit / ||g||), the norm over all parameters together. What is clipped is what the step would use:
    the mean over the whole batch, whatever it was added up from.

    Source: Pascanu et al., "On the Difficulty of Training Recurrent Neural Networks", ICML 2013, arXiv:1211.5063.
    """

    def clip(optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict) -> None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        nn.utils.clip_grad_norm_(parameters, limit)

    optimizer.register_step_pre_hook(clip)


def make_schedule(
    name: str, *, epochs: float = 1, warmup: float = 0, options: dict[str, Any] | None = None
) -> Callable[[float], float]:
    """The factor on the learning rate at a point `t` of training in [0, 1).

    Args:
        name: one of `train.schedules`; `options` are its own.
        epochs: of the training; warmup: how many of them the learning rate rises.
    Raises:
        UserError: the schedule refuses its options.

    >>> make_schedule("cosine")(0.5)
    0.5
    """
    shape, options = schedules.get(name), options or {}

    def factor(t: float) -> float:
        # t * epochs of a whole epoch may come out a little too small to be one.
        return shape(round(t * epochs, 9), epochs, warmup, **options)

    try:
        factor(0.0)
    except ValueError as error:
        raise UserError(f"schedule {name}", str(error)) from None
    return factor
