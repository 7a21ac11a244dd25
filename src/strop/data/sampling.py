"""The order of an epoch in which every class comes equally often."""

from __future__ import annotations

import numpy as np

from .chance import key, permutation


def balanced_order(labels: np.ndarray, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """As many places as there are pictures, the same number for each class, in random order.

    Of N places each of the K classes that occur gets m = N // K, the first N % K of them one more. Class k goes through
    its n_k pictures in an endless stream of shuffles, permutation(n_k, key(seed, "balanced", k, round)) for round
    0, 1, ...; epoch e takes places e * m to e * m + m - 1 of the stream. So no picture of a class comes a second time
    before all of them came once, over any number of epochs. Which place of the epoch gets which pick is
    permutation(N, key(seed, "order", epoch)).

    Unlike drawing with replacement: the numbers are exact, and every picture of a large class is seen in the end.

    Shape:
        labels: (N,) int64. Returns: (N,) int64, the pictures' numbers; (N,) int64, the rounds, which are how often each
        picture was shown before.
    """
    by_class = np.argsort(labels, kind="stable")
    present, first, sizes = np.unique(labels[by_class], return_index=True, return_counts=True)
    share, extra = divmod(len(labels), len(present))
    picks, times = [], []
    for number, (label, start, size) in enumerate(zip(present, first, sizes, strict=True)):
        taken = share + (number < extra)
        begin, end = epoch * taken, (epoch + 1) * taken
        rounds = range(begin // size, -(-end // size))
        stream = [permutation(size, key(seed, "balanced", label, number)) for number in rounds]
        offset = begin - rounds.start * size
        picks.append(by_class[start + np.concatenate(stream)[offset : offset + taken]])
        times.append(np.arange(begin, end) // size)
    places = permutation(len(labels), key(seed, "order", epoch))
    return np.concatenate(picks)[places], np.concatenate(times)[places]
