"""What rounds that were timed in turn say: how far the machine drifted, and the ratio of two models."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np
from scipy.stats import binom

BLOCKS = 8
DRAWS = 2000
INTERVAL_METHOD = f"95 %, block bootstrap of rounds ({DRAWS:,} draws)"


def drift(seconds: Sequence[float]) -> float:
    """The largest over the smallest median of the blocks that the rounds are cut into, in their order; >= 1.

    Rounds that scatter alike from beginning to end give about 1; a machine that becomes slower on the way does not.
    """
    blocks = np.array_split(np.asarray(seconds), min(BLOCKS, max(1, len(seconds) // 4)))
    medians = [float(np.median(block)) for block in blocks]
    return max(medians) / min(medians)


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of a median: the k-th smallest and the k-th largest of n values.

    k is the largest with P(X < k) <= 2.5 %, X binomial of n tosses of 1/2; of fewer than six values the whole range.
    """
    n = len(values)
    k, ordered = max(1, int(binom.ppf(0.025, n, 0.5))), sorted(values)
    return ordered[k - 1], ordered[n - k]


def ratio(seconds: Sequence[float], first: Sequence[float], *, seed: int = 0) -> tuple[float, float, float]:
    """median(seconds) / median(first) with its 95 % interval; both lists hold the same rounds in the same order.

    Rounds are drawn again for both together and in blocks of neighbours, n^(1/3) long: what slows one call slows the
    next ones too, so rounds that stand side by side say less than as many that don't.

    Source: Kunsch, "The jackknife and the bootstrap for general stationary observations", Ann. Statist. 17, 1989.
    """
    these, those = np.asarray(seconds), np.asarray(first)
    n = len(these)
    length = max(1, round(n ** (1 / 3)))
    chance, within = np.random.default_rng(seed), np.arange(length)
    found = np.empty(DRAWS)
    for draw in range(DRAWS):
        starts = chance.integers(0, n - length + 1, -(-n // length))
        chosen = (starts[:, None] + within).ravel()[:n]
        found[draw] = np.median(these[chosen]) / np.median(those[chosen])
    low, high = np.percentile(found, [2.5, 97.5])
    return statistics.median(seconds) / statistics.median(first), float(low), float(high)
