"""Two models on the same pictures: how far apart they are, and whether that is more than chance. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

LEVEL = 0.05
DRAWS = 10_000
METHOD = (
    f"exact McNemar test, Holm over the rows at {100 * LEVEL:g} %; intervals are 95 % of a paired bootstrap "
    f"({DRAWS:,} draws), each for itself"
)
BETTER, WORSE, ALIKE = "better", "worse", "not told apart"


class Against(NamedTuple):
    """What the pictures say about a model and a baseline.

    Attributes:
        difference: accuracy minus that of the baseline, in [-1, 1]; `low` and `high` its 95 % interval.
        gained, lost: pictures that only this model, or only the baseline, has right.
        p: of the exact McNemar test; `adjusted` by Holm over all models that were compared.
        verdict: "better", "worse" or "not told apart".
    """

    difference: float
    low: float
    high: float
    gained: int
    lost: int
    p: float
    adjusted: float
    verdict: str


def against(baseline: np.ndarray, others: Mapping[str, np.ndarray], *, level: float = LEVEL) -> dict[str, Against]:
    """The verdict on each model against the baseline; `level` bounds the chance of any false one among them.

    Args:
        baseline, others: (N,) bool, whether each picture was right, in the same order.

    Example:
        >>> right = np.array([True] * 90 + [False] * 10)
        >>> against(right, {"same": right})["same"].verdict
        'not told apart'
    """
    counts = {name: _disagreements(right, baseline) for name, right in others.items()}
    ps = [mcnemar(gained, lost) for gained, lost in counts.values()]
    found = {}
    for (name, (gained, lost)), p, adjusted in zip(counts.items(), ps, holm(ps), strict=True):
        low, high = bootstrap(gained, lost, len(baseline))
        word = ALIKE if adjusted >= level else BETTER if gained > lost else WORSE
        found[name] = Against((gained - lost) / len(baseline), low, high, gained, lost, p, adjusted, word)
    return found


def _disagreements(right: np.ndarray, baseline: np.ndarray) -> tuple[int, int]:
    if right.shape != baseline.shape or right.ndim != 1 or not len(right):
        raise ValueError(f"two lists of the same pictures are wanted, not {right.shape} and {baseline.shape}")
    return int(np.sum(right & ~baseline)), int(np.sum(~right & baseline))


def mcnemar(gained: int, lost: int) -> float:
    """p of the exact McNemar test: were it chance, each disagreement would be a toss of a fair coin.

    p = min(1, 2 * P(X <= min(gained, lost))), X binomial with gained + lost tosses of 1/2.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12, 1947; exact form as in Dietterich, Neural Computation 10, 1998.
    """
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5))) if gained + lost else 1.0


def holm(ps: Sequence[float]) -> list[float]:
    """p-values that keep the chance of any false finding among all of them below the level.

    The i-th smallest of m is multiplied by m - i + 1, made no smaller than those before it, and cut at 1.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6, 1979.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, highest = [0.0] * len(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = highest
    return adjusted


def bootstrap(gained: int, lost: int, n: int, *, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the difference of two accuracies when whole pictures are drawn again.

    A picture counts +1, -1 or 0, so a draw of n of them is one draw of a multinomial: no picture is looked at again.
    """
    shares = [gained / n, lost / n, (n - gained - lost) / n]
    drawn = np.random.default_rng(seed).multinomial(n, shares, size=draws)
    low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / n, [2.5, 97.5])
    return float(low), float(high)
