"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn as nn


def make_optimizer(model: nn.Module, name: str, *, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """An optimizer over the trainable parameters; no decay on biases and norms.

    Args:
        name: "sgd" (momentum 0.9, Nesterov), "adam" (decay added to the gradient) or "adamw".
        lr: learning rate; > 0.
        weight_decay: L2 coefficient; >= 0.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    match name:
        case "sgd":
            return torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True)
        case "adam":
            return torch.optim.Adam(groups, lr=lr)
        case "adamw":
            return torch.optim.AdamW(groups, lr=lr)
    raise ValueError(f"optimizer '{name}' is unknown")


def make_schedule(name: str, *, warmup: float = 0.0) -> Callable[[float], float]:
    """The factor on the learning rate at a point `t` of training in [0, 1).

    After a linear warm-up over the first `warmup` share, with u in [0, 1) over the rest:
    cosine (1 + cos(pi u)) / 2; constant 1; exponential 0.01**u; step 0.1**floor(3 u).

    Source: Loshchilov and Hutter, "SGDR", 2017, arXiv:1608.03983 (cosine).

    >>> make_schedule("cosine")(0.5)
    0.5
    """
    shapes = {
        "cosine": lambda u: (1 + math.cos(math.pi * u)) / 2,
        "constant": lambda u: 1.0,
        "exponential": lambda u: 0.01**u,
        "step": lambda u: 0.1 ** math.floor(3 * u),
    }
    shape = shapes[name]

    def factor(t: float) -> float:
        if t < warmup:
            return (t + 1e-3) / (warmup + 1e-3)
        return shape((t - warmup) / (1 - warmup)) if warmup < 1 else 1.0

    return factor
