"""Prune a network to a budget, in place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn as nn
from torch import Tensor

from ..errors import GateFailed
from ..measure.complexity import count_macs
from ..models.attention import Cuts
from ..models.counts import byte_counter, mac_counter, parameter_counter, stored_bytes
from ..models.groups import channel_groups, check_prunable, remove
from ..models.members import Group, matched
from .budget import Plan, Rule, solve
from .channels import look_at

Shape = tuple[int, int, int]
HEAD_WIDTH = 8  # that heads keep at the least, or a quarter of their width


class Ranked(NamedTuple):
    """A network's groups of channels, and what each channel is worth.

    Attributes:
        shape: (C, H, W) of a picture.
        importance: (width,) float64 by the name of the group.
    """

    shape: Shape
    groups: list[Group]
    importance: dict[str, np.ndarray]

    @property
    def widths(self) -> dict[str, int]:
        return {group.name: group.width for group in self.groups}

    @property
    def rules(self) -> dict[str, Rule]:
        """Heads are counted one by one, and divide what stays of an attention with the width of its heads."""
        attention = [group.name.rpartition(".")[0] for group in self.groups if group.kind != "channels"]
        found = {}
        for group in self.groups:
            power = 1 / max(1, attention.count(group.name.rpartition(".")[0]))
            if group.kind == "heads":
                found[group.name] = Rule(step=1, power=power)
            elif group.kind == "head width":
                found[group.name] = Rule(least=max(1, min(HEAD_WIDTH, group.width // 4)), power=power)
        return found


def prune(
    net: nn.Module,
    shape: Shape,
    *,
    kind: str,
    budget: Any,
    criterion: Callable,
    gradients: Iterable[Mapping[str, Tensor]] | None = None,
    scope: str = "local",
    round_to: int = 16,
    seed: int = 0,
    attention: Cuts = "both",
) -> dict:
    """Remove the least important channels until the network is at or just under the budget.

    Args:
        net: pruned in place; takes normalised (B, C, H, W).
        kind: "params", "macs" or "bytes".
        budget: has `limit(whole) -> int` and `text`, see `config.Budget`.
        criterion: one of `criteria`, (channels, generator) -> (width,) importance.
        gradients: of some batches, by parameter name, for a criterion that needs them; see `loss_gradients`.
        scope, round_to: see `budget.solve`.
        attention: whether heads go, or their width; see `models.attention`.
    Returns:
        the `pruning` block of result.json: budget, counts before and after, widths.
    Raises:
        UserError: the network's channels can't be removed.
        GateFailed: the budget is too small for any width.
    """
    ranked = rank_channels(net, shape, criterion, gradients, seed=seed, attention=attention)
    before = count_whole(net, kind, shape)
    limit = budget.limit(before)
    try:
        cost = counter(net, ranked, kind)
        plan = solve(ranked.importance, cost, limit, scope=scope, round_to=round_to, rules=ranked.rules)
    except GateFailed as error:
        raise GateFailed(f"--{kind} {budget.text}: {error}") from None
    cut(net, ranked, plan)
    return {
        "budget": budget.text,
        "kind": kind,
        "limit": limit,
        "before": before,
        "after": plan.cost,
        "scope": scope,
        "round_to": plan.round_to,
        "widths": {name: [width, plan.keep[name]] for name, width in ranked.widths.items()},
    }


def rank_channels(
    net: nn.Module,
    shape: Shape,
    criterion: Callable,
    gradients: Iterable[Mapping[str, Tensor]] | None = None,
    *,
    seed: int = 0,
    attention: Cuts = "both",
) -> Ranked:
    """Find the groups of a network that can be pruned, and rank their channels; the arguments are those of `prune`.

    Strands of a group are ranked each by itself, and then matched: the weakest of each go together. Their worth is the
    mean of theirs, or where gradients say what a loss would change by, the sum.
    """
    example = torch.zeros(2, *shape)
    net.eval()
    check_prunable(net, example, attention=attention)
    groups = channel_groups(net, example, attention=attention)
    parts = [part for group in groups for part in (group.strands or (group,))]
    worth = rank(net, parts, criterion, gradients, seed=seed)
    for place, group in enumerate(groups):
        if group.strands:
            values = np.stack([worth.pop(strand.name) for strand in group.strands])
            orders = np.argsort(-values, axis=1, kind="stable")
            groups[place] = matched(group, [torch.from_numpy(order) for order in orders])
            best_first = np.take_along_axis(values, orders, axis=1)
            worth[group.name] = best_first.mean(0) if gradients is None else best_first.sum(0)
    return Ranked(shape, groups, {group.name: worth[group.name] for group in groups})


def count_whole(net: nn.Module, kind: str, shape: Shape) -> int:
    """The parameters, multiply-accumulates or bytes of the file of a network as it is."""
    if kind == "params":
        return sum(parameter.numel() for parameter in net.parameters())
    return int(count_macs(net, shape)) if kind == "macs" else stored_bytes(net)


def counter(net: nn.Module, ranked: Ranked, kind: str) -> Callable[[Mapping[str, int]], int]:
    """A function from the channels that each group keeps to what then remains, in the unit of `kind`."""
    if kind == "macs":
        count = mac_counter(net, ranked.groups, torch.zeros(2, *ranked.shape))
    else:
        count = (parameter_counter if kind == "params" else byte_counter)(net, ranked.groups)
    return lambda keep: int(count([group.width - keep[group.name] for group in ranked.groups]))


def cut(net: nn.Module, ranked: Ranked, plan: Plan) -> None:
    """Remove all but the most important channels of each group, in place."""
    predicted = counter(net, ranked, "params")(plan.keep)
    gone = {name: weakest(values, len(values) - plan.keep[name]) for name, values in ranked.importance.items()}
    remove(net, ranked.groups, gone)
    if (actual := sum(parameter.numel() for parameter in net.parameters())) != predicted:
        raise AssertionError(f"{predicted} parameters were predicted and {actual} remain")


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
