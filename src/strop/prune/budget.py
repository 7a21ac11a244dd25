"""How many channels each group keeps, so that the whole is at or just under a budget. Plain arithmetic, no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np

from ..errors import GateFailed

TOLERANCE = 0.005
ROUNDINGS = (16, 8, 4, 2, 1)
BISECTIONS = 40


@dataclass(frozen=True)
class Plan:
    """What to keep.

    Attributes:
        keep: channels kept, by group.
        cost: what then remains, in the budget's unit.
        round_to: the coarsest rounding that came within the tolerance, or the one that came nearest.
    """

    keep: dict[str, int]
    cost: int
    round_to: int


@dataclass(frozen=True)
class Rule:
    """How the widths of a group are chosen.

    Attributes:
        least: so many channels stay in any case.
        step: what its widths are multiples of, whatever the rounding; None: of the rounding.
        power: a share s of the whole is s**power of its width: 1/2 for each of two groups that divide one layer.
    """

    least: int = 1
    step: int | None = None
    power: float = 1.0


PLAIN = Rule()
ALL_PLAIN: Mapping[str, Rule] = MappingProxyType({})


def solve(
    importance: Mapping[str, np.ndarray],
    cost: Callable[[dict[str, int]], int],
    limit: int,
    *,
    scope: str = "local",
    round_to: int = 16,
    tolerance: float = TOLERANCE,
    rules: Mapping[str, Rule] = ALL_PLAIN,
) -> Plan:
    """The largest network at or under the limit.

    Bisect one number (the share kept of each group, or one threshold on importance for all), round
    the widths down, then give channels back, one rounding step at a time, while they fit. Where the
    result is further than `tolerance` under the limit, the same is done with a finer rounding.

    Args:
        importance: (width,) for each group; only its order matters for scope "local".
        cost: what a choice of widths costs; must not fall when a width grows.
        limit: the budget, in the unit of `cost`.
        scope: "local" or "global".
        round_to: widths are multiples of it; a group narrower than four steps uses a quarter of its width.
        rules: for groups that go by others.
    Raises:
        GateFailed: even the narrowest network is over the limit.
    """
    choose = partial(_by_share if scope == "local" else _by_threshold, importance, rules)
    widths = {name: len(values) for name, values in importance.items()}

    def plan_for(step: int) -> Plan | None:
        steps = {name: width_step(width, step, rules.get(name, PLAIN)) for name, width in widths.items()}
        keep = bisect(partial(choose, steps), cost, limit)
        if keep is None:
            return None
        _give_back(keep, widths, steps, rules, cost, limit)
        return Plan(keep, cost(keep), step)

    best = relax(plan_for, limit, round_to, tolerance)
    if best is None:
        raise GateFailed(
            f"the budget of {limit:,} can't be met: with the fewest channels that scope {scope} leaves in every "
            f"group {cost(narrowest(importance, scope, rules)):,} remain. Give a larger budget."
        )
    return best


def relax(
    plan_for: Callable[[int], Plan | None], limit: int, round_to: int, tolerance: float = TOLERANCE
) -> Plan | None:
    """The plan with the coarsest rounding that comes within the tolerance under the limit, or the nearest one.

    Args:
        plan_for: the largest plan at or under the limit in multiples of so many; None where there is none.
    """
    best = None
    for step in sorted({min(round_to, r) for r in ROUNDINGS} | {round_to}, reverse=True):
        plan = plan_for(step)
        best = plan if plan and (best is None or plan.cost > best.cost) else best
        if best and best.cost >= (1 - tolerance) * limit:
            break
    return best


def narrowest(
    importance: Mapping[str, np.ndarray], scope: str, rules: Mapping[str, Rule] = ALL_PLAIN
) -> dict[str, int]:
    """The fewest channels that a scope leaves in every group."""
    choose = _by_share if scope == "local" else _by_threshold
    return choose(importance, rules, dict.fromkeys(importance, 1), 0.0)


def width_step(width: int, step: int, rule: Rule = PLAIN) -> int:
    """Of a group narrower than four steps a quarter of its width; that of the rule, if it names one."""
    return rule.step or max(1, min(step, width // 4))


def bisect(choose: Callable[[float], dict[str, int]], cost: Callable, limit: int) -> dict[str, int] | None:
    """What is chosen for the largest number in [0, 1] that fits; None if not even that for 0 does."""
    floor = choose(0.0)
    if cost(floor) > limit:
        return None
    low, high, best = 0.0, 1.0, floor
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        keep = choose(middle)
        if cost(keep) <= limit:
            low, best = middle, keep
        else:
            high = middle
    return best


def _by_share(importance, rules, steps, share: float) -> dict[str, int]:
    keep = {}
    for name, values in importance.items():
        rule, width = rules.get(name, PLAIN), len(values)
        keep[name] = max(_floor(rule, steps[name]), _round_down(share**rule.power * width, steps[name], width))
    return keep


def _by_threshold(importance, rules, steps, share: float) -> dict[str, int]:
    """Keep what lies above the (1 - share) quantile of all importances; no group falls under a tenth."""
    every = np.concatenate(list(importance.values()))
    threshold = np.quantile(every, 1 - share)
    keep = {}
    for name, values in importance.items():
        width, step = len(values), steps[name]
        floor = -(-(width // 10) // step) * step  # a tenth, rounded up
        floor = max(floor, _floor(rules.get(name, PLAIN), step))
        keep[name] = max(floor, _round_down(int((values >= threshold).sum()), step, width))
    return keep


def _floor(rule: Rule, step: int) -> int:
    """The least of a rule, rounded up."""
    return -(-rule.least // step) * step


def _round_down(width: float, step: int, full: int) -> int:
    return full if width >= full else max(step, int(width // step) * step)


def _give_back(keep, widths, steps, rules, cost, limit: int) -> None:
    """Widen, one step at a time, the group that kept the smallest share, as long as something fits."""
    closed: set[str] = set()

    def share(name: str) -> float:
        return (keep[name] / widths[name]) ** (1 / rules.get(name, PLAIN).power)

    while len(closed) < len(keep):
        name = min((n for n in keep if n not in closed), key=share)
        wider = dict(keep, **{name: min(keep[name] + steps[name], widths[name])})
        if keep[name] == widths[name] or cost(wider) > limit:
            closed.add(name)
        else:
            keep.update(wider)
