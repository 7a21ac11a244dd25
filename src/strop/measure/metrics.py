"""Scores from a confusion matrix. Accuracy and macro precision are different things and stay apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest, norm
from sklearn.metrics import precision_recall_fscore_support

CONFIDENCE = 0.95


def score(confusion: np.ndarray, classes: Sequence[str]) -> dict:
    """All scores of a test as result.json holds them.

    accuracy = trace / n, with its interval (`wilson`); precision_k = cm[k, k] / sum_i cm[i, k];
    recall_k = cm[k, k] / sum_j cm[k, j]; f1_k = 2 p_k r_k / (p_k + r_k); macro values are plain means over
    the classes that have pictures, and macro F1 is the mean of the classes' F1. A class that was never predicted has
    precision 0. Of a class without pictures nothing is known: its three figures are 0 and in no mean.

    Args:
        confusion: (K, K) counts, rows true, columns predicted.
        classes: K names.
    Raises:
        ValueError: no pictures, or names that don't fit the matrix.

    Example:
        >>> score(np.array([[8, 2], [1, 9]]), ["cat", "dog"])["accuracy"]
        0.85
    """
    confusion = np.asarray(confusion)
    total, hits = int(confusion.sum()), int(np.trace(confusion))
    if total == 0 or confusion.shape != (len(classes), len(classes)):
        raise ValueError(f"a {confusion.shape} matrix of {total} pictures can't be scored for {len(classes)} classes")
    precision, recall, f1, support = _per_class(confusion)
    known = support > 0
    return {
        "n": total,
        "accuracy": hits / total,
        "accuracy_interval": wilson(hits, total),
        "interval_method": "Wilson 95%",
        "macro_precision": float(precision[known].mean()),
        "macro_recall": float(recall[known].mean()),
        "macro_f1": float(f1[known].mean()),
        "confusion": confusion.tolist(),
        "per_class": [
            {"name": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
            for name, p, r, f, s in zip(classes, precision, recall, f1, support, strict=True)
        ],
    }


def _per_class(confusion: np.ndarray) -> tuple[np.ndarray, ...]:
    """scikit-learn's scores; each cell of the matrix is one weighted prediction."""
    true, predicted = np.indices(confusion.shape).reshape(2, -1)
    return precision_recall_fscore_support(
        true, predicted, sample_weight=confusion.ravel(), labels=np.arange(len(confusion)), zero_division=0.0
    )


def wilson(hits: int, total: int) -> list[float]:
    """The 95 % interval of a share, [low, high] in [0, 1].

    (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n), p = hits / n, z = 1.96.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
    """
    low, high = binomtest(hits, total).proportion_ci(CONFIDENCE, method="wilson")
    return [float(low), float(high)]


def wilson_of_mean(share: float, n: float) -> list[float]:
    """The same interval around a mean of shares that is worth `n` pictures, which need be no whole number."""
    z = float(norm.ppf((1 + CONFIDENCE) / 2))
    middle, half = share + z**2 / (2 * n), z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return [max(0.0, (middle - half) / (1 + z**2 / n)), min(1.0, (middle + half) / (1 + z**2 / n))]


def running(sums: dict) -> dict[str, float]:
    """Loss, accuracy and macro recall from an epoch's sums ("loss", "hits", "seen")."""
    hits, seen = sums["hits"].double(), sums["seen"].double()
    present = seen > 0
    return {
        "loss": float(sums["loss"]) / float(seen.sum()),
        "accuracy": float(hits.sum() / seen.sum()),
        "recall": float((hits[present] / seen[present]).mean()),
    }
