"""Saying "I don't know": answers withheld below a threshold, and sets that hold the truth as often as promised."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..data.chance import key, permutation, uniforms
from .metrics import wilson

COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
LEVELS = (0.9, 0.95)
_BLOCK = 4_000_000


class Said(NamedTuple):
    """Probabilities (N, K) and the true classes (N,) of some pictures."""

    probabilities: np.ndarray
    targets: np.ndarray

    def take(self, places: np.ndarray) -> Said:
        return Said(self.probabilities[places], self.targets[places])


class Fold(NamedTuple):
    """Where thresholds are chosen, and where they are measured."""

    chosen_on: Said
    measured_on: Said


def halves(said: Said, seed: int = 0) -> list[Fold]:
    """Each half judged by thresholds of the other: every picture is measured once, none chose its own threshold."""
    order = permutation(len(said.targets), key(seed, "halves"))
    one, other = (said.take(places) for places in np.array_split(order, 2))
    return [Fold(one, other), Fold(other, one)]


def threshold_table(folds: Sequence[Fold], coverages: Sequence[float] = COVERAGES) -> list[dict]:
    """What is answered, and how well, when answers below a threshold of confidence are withheld.

    The threshold for a coverage c is the confidence that the c n surest of the n pictures it is chosen on reach; of
    several folds it is the mean that is shown. Coverage 1 answers everything: its threshold is 0.

    Returns: for each coverage {"aim", "threshold", "n", "coverage", "accuracy", "accuracy_interval"}; the accuracy is
    that of the answered ones, None where there are none.
    """
    rows = []
    for aim in coverages:
        total, answered, right, thresholds = 0, 0, 0, []
        for fold in folds:
            confidence = fold.measured_on.probabilities.max(1)
            thresholds.append(_reached_by(fold.chosen_on.probabilities.max(1), aim))
            kept = confidence >= thresholds[-1]
            total, answered = total + len(kept), answered + int(kept.sum())
            right += int((fold.measured_on.probabilities.argmax(1) == fold.measured_on.targets)[kept].sum())
        row = {"aim": aim, "threshold": float(np.mean(thresholds)), "n": answered, "coverage": answered / total}
        known = {"accuracy": right / answered, "accuracy_interval": wilson(right, answered)} if answered else {}
        rows.append(row | (known or {"accuracy": None, "accuracy_interval": None}))
    return rows


def _reached_by(confidence: np.ndarray, share: float) -> float:
    if share >= 1:
        return 0.0
    return float(np.sort(confidence)[::-1][max(1, math.ceil(share * len(confidence))) - 1])


def conformal_sets(folds: Sequence[Fold], levels: Sequence[float] = LEVELS, *, seed: int = 0) -> list[dict]:
    """Sets of classes that hold the true one with probability `level`, whatever the network, on pictures of one kind.

    Split conformal: with scores s_i of the true classes of n pictures, q is the ceil((n + 1) level)-th smallest (none:
    every class is in), and the set of a picture is {k: s_k <= q}.
    LAC: s_k = 1 - p_k. APS: s_k = sum of the p_j above p_k + u p_k, u uniform and a function of (seed, place).

    Source: Sadinle, Lei, Wasserman, "Least Ambiguous Set-Valued Classifiers with Bounded Error Levels",
    arXiv:1609.00451 (LAC); Romano, Sesia, Candès, "Classification with Valid and Adaptive Coverage",
    arXiv:2006.02544 (APS).

    Returns: for each method and level {"method", "aim", "quantile", "n", "coverage", "coverage_interval", "mean_size",
    "sizes"}; sizes[m] pictures have a set of m classes; the quantile of several folds is their mean, None for none.
    """
    rows = []
    for method, score in (("LAC", _lac), ("APS", _aps)):
        scored = [_true_scores(score, fold.chosen_on, seed) for fold in folds]
        for level in levels:
            quantiles = [_quantile(scores, level) for scores in scored]
            parts = [_sets(score, f.measured_on, q, seed + 1) for f, q in zip(folds, quantiles, strict=True)]
            held, sizes = sum(part[0] for part in parts), np.sum([part[1] for part in parts], axis=0)
            n = int(sizes.sum())
            rows.append(
                {
                    "method": method,
                    "aim": level,
                    "quantile": float(np.mean(quantiles)) if np.isfinite(quantiles).all() else None,
                    "n": n,
                    "coverage": held / n,
                    "coverage_interval": wilson(held, n),
                    "mean_size": float(sizes @ np.arange(len(sizes)) / n),
                    "sizes": np.trim_zeros(sizes, "b").tolist(),
                }
            )
    return rows


def _quantile(scores: np.ndarray, level: float) -> float:
    rank = math.ceil((len(scores) + 1) * level - 1e-9)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def _lac(p: np.ndarray, chance: np.ndarray) -> np.ndarray:
    return 1 - p


def _aps(p: np.ndarray, chance: np.ndarray) -> np.ndarray:
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, 1)
    scores = np.cumsum(ranked, 1) - ranked + chance[:, None] * ranked
    found = np.empty_like(scores)
    np.put_along_axis(found, order, scores, 1)
    return found


def _blocks(score: Callable, said: Said, seed: int):
    """Scores of all classes, a block of pictures at a time, and the true classes."""
    n, classes = said.probabilities.shape
    chance = uniforms(key(seed, "conformal"), np.arange(n), 1)[:, 0]
    for at in range(0, n, size := max(1, _BLOCK // classes)):
        part = slice(at, at + size)
        yield score(said.probabilities[part].astype(np.float64), chance[part]), said.targets[part]


def _true_scores(score: Callable, said: Said, seed: int) -> np.ndarray:
    return np.concatenate([s[np.arange(len(y)), y] for s, y in _blocks(score, said, seed)])


def _sets(score: Callable, said: Said, quantile: float, seed: int) -> tuple[int, np.ndarray]:
    """How many sets hold the truth, and how many have 0 .. K classes."""
    held, sizes = 0, np.zeros(said.probabilities.shape[1] + 1, np.int64)
    for scores, y in _blocks(score, said, seed):
        inside = scores <= quantile
        held += int(inside[np.arange(len(y)), y].sum())
        sizes += np.bincount(inside.sum(1), minlength=len(sizes))
    return held, sizes
