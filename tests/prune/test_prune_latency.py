"""The search for a network that is fast enough, on clocks made by hand; no network."""

import math

import pytest

from strop.errors import GateFailed
from strop.prune.budget import Plan
from strop.prune.latency import fit_latency

UNIT = 10_000


def plan_for(share):
    """Widths come in steps of one of 10,000 multiply-accumulates, and at least 1 % remains."""
    kept = math.floor(share * UNIT)
    return Plan({"g": kept}, kept, 1) if kept >= UNIT // 100 else None


class Clock:
    """Milliseconds by a formula; keeps what it was asked."""

    def __init__(self, formula):
        self.formula, self.asked = formula, []

    def __call__(self, plan):
        self.asked.append(plan.cost / UNIT)
        return self.formula(plan.cost / UNIT)


def search(formula, limit, **more):
    clock = Clock(formula)
    return fit_latency(plan_for, clock, limit=limit, whole=formula(1.0), narrowest=0.01, **more), clock


@pytest.mark.parametrize("part", [0.9, 0.5, 0.25, 0.12])
@pytest.mark.parametrize(
    "formula",
    [
        lambda share: 20 * share,
        lambda share: 20 * share**0.5,
        lambda share: 20 * share**1.3,
        lambda share: 1 + 19 * share,  # a fixed cost, as of small networks
        lambda share: 20 * math.ceil(160 * share) / 160,  # as of kernels that fill whole vectors
        lambda share: 20 * share * (1 + 0.03 * math.sin(1e4 * share)),  # a clock that is 3 % off
    ],
)
def test_at_or_just_under_the_limit(formula, part):
    """Never over, at most 10 % under, with at most 8 measurements; what is taken is what was measured."""
    limit = part * formula(1.0)
    (taken, tried), clock = search(formula, limit)
    assert 0.9 * limit <= taken.milliseconds <= limit
    assert taken.milliseconds == formula(taken.plan.cost / UNIT) and taken is tried[-1]
    assert len(clock.asked) == len(tried) <= 8 and len(set(clock.asked)) == len(tried)


def test_in_proportion_the_first_is_taken():
    """Where time follows the multiply-accumulates the first guess is 95 % of the limit."""
    (taken, tried), _ = search(lambda share: 8 * share, 4.0)
    assert len(tried) == 1 and taken.milliseconds == pytest.approx(3.8, abs=1e-2)


def test_a_whole_network_that_is_fast_enough():
    """Nothing is measured: a limit that asks for nothing is a mistake, and what it takes is said."""
    with pytest.raises(GateFailed, match="the network takes 8 ms already"):
        search(lambda share: 8 * share, 9.0)


def test_a_limit_below_the_narrowest():
    """What was reached is said; it is that of the narrowest network."""
    with pytest.raises(GateFailed, match=r"0\.5 ms can't be met: 1\.01 ms were reached"):
        search(lambda share: 1 + share, 0.5)


def test_a_gap_around_the_limit():
    """Between 2 and 8 ms there is no network: both neighbours are named, and the search ends."""
    clock = Clock(lambda share: 8.0 if share > 0.3 else 2.0)
    with pytest.raises(GateFailed, match=r"within 10% of 5 ms .* take 2 and 8 ms"):
        fit_latency(plan_for, clock, limit=5.0, whole=8.0, narrowest=0.01)
    assert len(clock.asked) == 8


def test_a_network_that_comes_twice_is_measured_once():
    """Coarse widths: the search ends although it meets the same two networks again and again."""

    def coarse(share):
        kept = 5_000 if share >= 0.5 else 100
        return Plan({"g": kept}, kept, 16)

    clock = Clock(lambda share: 10 * share)
    with pytest.raises(GateFailed, match="of 2 that were measured the nearest take 0.1 and 5"):
        fit_latency(coarse, clock, limit=2.0, whole=10.0, narrowest=0.01)
    assert sorted(clock.asked) == [0.01, 0.5]
