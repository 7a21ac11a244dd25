"""Intervals of figures that are no proportions, by drawing the pictures again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.stats import norm

from ..data.chance import key, uniforms
from .answers import Answers
from .probabilities import BINS, bin_of

RESAMPLES, FEWEST = 1000, 200
METHOD = "bias-corrected bootstrap 95% over pictures; ECE: debiased bootstrap, from 0 where chance explains it"
_DRAWS = 20_000_000  # of pictures in all: from 20,000 pictures on there are fewer resamples, and less noise in each
_BLOCK = 2_000_000
_ALPHA = 0.025


def intervals(answers: Answers, *, seed: int = 0, resamples: int | None = None) -> dict:
    """95 % intervals of macro precision, recall and F1, NLL, Brier score and ECE.

    Each resample draws N of the N pictures with replacement and computes all figures from the same draw. With t the
    figure, t* those of the resamples, and z = norm.ppf(share of t* below t, half of those equal): the interval goes
    from quantile norm.cdf(2 z - 1.96) to norm.cdf(2 z + 1.96) of t*.

    The ECE is above 0 by chance, and more so in a resample. Its interval is 2 t - mean(t*) -+ 1.96 s, where s is the sd
    of the signed gaps sum_b sign(g_b) g*_b; it begins at 0 where t is not above `ece_by_chance`, the 97.5 % quantile of
    what a perfectly calibrated network with these confidences c shows: g_b normal, variance sum of c (1 - c) / n**2.

    Source: Efron, "Nonparametric Standard Errors and Confidence Intervals", 1981 (bias-corrected); Bröcker and Smith,
    "Increasing the Reliability of Reliability Diagrams", 2007 (what a calibrated network shows; they draw outcomes).

    Args:
        seed: the draws are a function of it and of N.
        resamples: default 1,000, and fewer from 20,000 pictures on, down to 200.
    Returns:
        {"intervals": {name: [low, high]}, "ece_by_chance": e, "bootstrap": {"method", "resamples", "seed"}}.
    """
    n = len(answers)
    resamples = resamples or min(RESAMPLES, max(FEWEST, _DRAWS // n))
    table = _Table(answers)
    whole = table.figures(np.ones((1, n)))
    parts = [table.figures(times) for times in _draw(n, resamples, seed)]
    drawn = {name: np.concatenate([part[name] for part in parts]) for name in whole}
    chance = _calibration_by_chance(answers.confidence, seed)
    found = {name: _bias_corrected(float(whole[name][0]), drawn[name]) for name in whole if name != "gaps"}
    found["ece"] = _debiased(whole["gaps"][0], drawn["gaps"], chance)
    return {
        "intervals": {name: [float(bound) for bound in bounds] for name, bounds in found.items()},
        "ece_by_chance": chance,
        "bootstrap": {"method": METHOD, "resamples": resamples, "seed": seed},
    }


def _draw(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each picture is drawn, for a block of resamples at a time: (R, N)."""
    stream, size = key(seed, "bootstrap", n), max(1, _BLOCK // n)
    for start in range(0, resamples, size):
        rows = np.arange(start, min(start + size, resamples))
        drawn = (uniforms(stream, rows, n) * n).astype(np.int64) + (rows - start)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=len(rows) * n).reshape(len(rows), n).astype(np.float64)


class _Table:
    """The figures as sums over pictures, so that resamples are products of matrices."""

    def __init__(self, answers: Answers):
        n, k = len(answers), answers.classes
        right = answers.right

        def mark(columns: np.ndarray, values: np.ndarray, width: int) -> csr_matrix:
            return csr_matrix((values, (np.arange(n), columns)), shape=(n, width))

        self.hits = mark(answers.targets, right.astype(float), k)
        self.true = mark(answers.targets, np.ones(n), k)
        self.predicted = mark(answers.predicted, np.ones(n), k)
        self.gaps = mark(bin_of(torch.from_numpy(answers.confidence)).numpy(), right - answers.confidence, BINS)
        self.means = np.stack([answers.loss, answers.brier], 1)

    def figures(self, times: np.ndarray) -> dict[str, np.ndarray]:
        """Each figure of each resample. Shape: times (R, N); returns (R,) for each name, (R, bins) for the gaps."""
        n = times.shape[1]
        hits, true, predicted = (times @ part for part in (self.hits, self.true, self.predicted))
        means = times @ self.means / n
        return {
            "macro_precision": _share(hits, predicted),
            "macro_recall": _share(hits, true),
            "macro_f1": _share(2 * hits, true + predicted),
            "loss": means[:, 0],
            "brier": means[:, 1],
            "gaps": times @ self.gaps / n,
        }


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Mean over the classes; 0 / 0 is 0, as in `metrics.score`."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0).mean(1)


def _bias_corrected(value: float, values: np.ndarray) -> np.ndarray:
    below = ((values < value).mean() + (values <= value).mean()) / 2
    shift = norm.ppf(np.clip(below, 1 / len(values), 1 - 1 / len(values)))
    return np.quantile(values, norm.cdf(2 * shift + norm.ppf([_ALPHA, 1 - _ALPHA])))


def _debiased(gaps: np.ndarray, drawn: np.ndarray, chance: float) -> tuple[float, float]:
    """Shape: gaps (bins,), hits less confidences over N. drawn: (R, bins)."""
    value = float(np.abs(gaps).sum())
    middle = 2 * value - float(np.abs(drawn).sum(1).mean())
    spread = norm.ppf(1 - _ALPHA) * float((drawn @ np.sign(gaps)).std())
    low = 0.0 if value <= chance else max(0.0, middle - spread)
    return low, max(value, middle + spread)


def _calibration_by_chance(confidence: np.ndarray, seed: int) -> float:
    bins, n = bin_of(torch.from_numpy(confidence)).numpy(), len(confidence)
    spread = np.sqrt(np.bincount(bins, confidence * (1 - confidence), minlength=BINS)) / n
    drawn = norm.ppf(uniforms(key(seed, "calibrated"), np.arange(RESAMPLES), BINS))
    return float(np.quantile(np.abs(drawn * spread).sum(1), 1 - _ALPHA))
