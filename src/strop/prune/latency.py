"""The widest network that is fast enough: a search over networks that are really measured. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import GateFailed
from .budget import Plan

TOLERANCE = 0.1
MEASUREMENTS = 8
AIM = 0.95  # of the limit: the middle of what is accepted


@dataclass(frozen=True)
class Candidate:
    """A network that was measured.

    Attributes:
        share: of the multiply-accumulates that it was given, in (0, 1].
        plan: its widths.
        milliseconds: what it took.
    """

    share: float
    plan: Plan
    milliseconds: float


def fit_latency(
    plan_for: Callable[[float], Plan | None],
    measure: Callable[[Plan], float],
    *,
    limit: float,
    whole: float,
    narrowest: float,
    tolerance: float = TOLERANCE,
    most: int = MEASUREMENTS,
) -> tuple[Candidate, list[Candidate]]:
    """The network to take, at or under the limit and at most `tolerance` below it; and all that were measured.

    The time is taken to be c * share**a between two networks that were measured (at first with a = 1), which gives
    the share to try next; it is kept away from both ends of the bracket, so that the bracket shrinks.

    Args:
        plan_for: widths for a share of the multiply-accumulates; None where so few are not possible.
        measure: milliseconds of a network with these widths.
        limit: milliseconds.
        whole: milliseconds of the network that nothing was removed from.
        narrowest: the smallest share that is possible.
    Raises:
        GateFailed: the whole network is fast enough; none is; or none within the tolerance was found. It says what
            was reached.
    """
    if whole <= limit:
        raise GateFailed(f"the network takes {whole:.3g} ms already. Give a smaller budget.")
    tried: list[Candidate] = []
    low, high = None, (1.0, whole)
    share = _first_guess(limit, whole, narrowest)
    for _ in range(2 * most):  # a network may come twice, and costs nothing then
        plan = plan_for(share)
        if plan is None:
            break
        found = next((c for c in tried if c.plan.keep == plan.keep), None)
        if found is None:
            found = Candidate(share, plan, measure(plan))
            tried.append(found)
        if (1 - tolerance) * limit <= found.milliseconds <= limit:
            return found, tried
        if found.milliseconds <= limit:
            low = (share, found.milliseconds)
        else:
            high = (share, found.milliseconds)
        if len(tried) == most or share == narrowest and low is None:
            break
        share = _next_guess(low or (narrowest, None), high, limit)
    raise GateFailed(_reached(tried, limit, tolerance))


def _first_guess(limit: float, whole: float, narrowest: float) -> float:
    return max(narrowest, AIM * limit / whole)


def _next_guess(low: tuple, high: tuple, limit: float) -> float:
    """Between two shares, by the power law through both; where nothing is known below, in proportion."""
    aim, least, most = AIM * limit, math.log(low[0]), math.log(high[0])
    if low[1] is None:
        guess = most + math.log(aim / high[1])
        return low[0] if guess - least < 0.1 * (most - least) else math.exp(guess)
    rise = math.log(high[1] / low[1])
    part = math.log(aim / low[1]) / rise if rise > 0 else 0.5
    return math.exp(least + min(max(part, 0.15), 0.85) * (most - least))


def _reached(tried: list[Candidate], limit: float, tolerance: float) -> str:
    fast = [c.milliseconds for c in tried if c.milliseconds <= limit]
    slow = [c.milliseconds for c in tried if c.milliseconds > limit]
    if not fast:
        return (
            f"the budget of {limit:.3g} ms can't be met: {min(slow):.3g} ms were reached, the least of {len(tried)} "
            "networks that were measured. Give a larger budget."
        )
    beside = f" and {min(slow):.3g} ms" if slow else ""
    return (
        f"no network within {tolerance:.0%} of {limit:.3g} ms was found: of {len(tried)} that were measured the "
        f"nearest take {max(fast):.3g}{beside}. Give another budget, or a smaller --round-to."
    )
