"""Prune a network to a budget, in place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn as nn
from torch import Tensor

from ..errors import GateFailed
from ..models.counts import mac_counter, parameter_counter
from ..models.groups import Group, channel_groups, check_prunable, remove
from .budget import solve
from .channels import look_at


def prune(
    net: nn.Module,
    shape: tuple[int, int, int],
    *,
    kind: str,
    budget: Any,
    criterion: Callable,
    gradients: Iterable[Mapping[str, Tensor]] | None = None,
    scope: str = "local",
    round_to: int = 16,
    seed: int = 0,
) -> dict:
    """Remove the least important channels until the network is at or just under the budget.

    Args:
        net: pruned in place; takes normalised (B, C, H, W).
        kind: "params" or "macs".
        budget: has `limit(whole) -> int` and `text`, see `config.Budget`.
        criterion: one of `criteria`, (channels, generator) -> (width,) importance.
        gradients: of some batches, by parameter name, for a criterion that needs them; see `loss_gradients`.
        scope, round_to: see `budget.solve`.
    Returns:
        the `pruning` block of result.json: budget, counts before and after, widths.
    Raises:
        UserError: the network's channels can't be removed.
        GateFailed: the budget is too small for any width.
    """
    example = torch.zeros(2, *shape)
    net.eval()
    check_prunable(net, example)
    groups = channel_groups(net, example)
    count = parameter_counter(net, groups) if kind == "params" else mac_counter(net, groups, example)
    widths = {group.name: group.width for group in groups}
    importance = rank(net, groups, criterion, gradients, seed=seed)
    before = count([0] * len(groups))

    def cost(keep: dict[str, int]) -> int:
        return int(count([widths[group.name] - keep[group.name] for group in groups]))

    limit = budget.limit(before)
    try:
        plan = solve(importance, cost, limit, scope=scope, round_to=round_to)
    except GateFailed as error:
        raise GateFailed(f"--{kind} {budget.text}: {error}") from None
    remove(net, groups, {name: weakest(importance[name], widths[name] - kept) for name, kept in plan.keep.items()})
    if kind == "params" and (actual := sum(p.numel() for p in net.parameters())) != plan.cost:
        raise AssertionError(f"{plan.cost} parameters were predicted and {actual} remain")
    return {
        "budget": budget.text,
        "kind": kind,
        "limit": limit,
        "before": int(before),
        "after": plan.cost,
        "scope": scope,
        "round_to": plan.round_to,
        "widths": {name: [widths[name], kept] for name, kept in plan.keep.items()},
    }


def rank(
    net: nn.Module,
    groups: Sequence[Group],
    criterion: Callable,
    gradients: Iterable[Mapping[str, Tensor]] | None = None,
    *,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """The importance of each group's channels, (width,) float64; a mean over batches where gradients are given."""
    generator = torch.Generator().manual_seed(seed)
    totals: dict[str, Tensor] = {}
    n = 0
    for n, of_batch in enumerate([{}] if gradients is None else gradients, 1):
        for group in groups:
            found = criterion(look_at(net, group, of_batch), generator).detach().double()
            totals[group.name] = totals[group.name] + found if n > 1 else found
    return {name: (total / n).numpy() for name, total in totals.items()}


def weakest(importance, count: int) -> list[int]:
    """The `count` least important channels; of equal ones the later go first."""
    order = sorted(range(len(importance)), key=lambda c: (importance[c], -c))
    return sorted(order[:count])
