"""Intervals of figures that are no proportions, by drawing the pictures again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.stats import norm

from ..data.chance import key, uniforms
from .answers import Answers
from .metrics import wilson, wilson_of_mean
from .probabilities import BINS, bin_of

RESAMPLES, FEWEST = 1000, 200
METHOD = (
    "bootstrap 95% over pictures; macro figures: Wilson's with the pictures that the spread is worth; NLL, Brier: "
    "studentized; ECE: debiased, from 0 where chance explains it"
)
_DRAWS = 20_000_000  # of pictures in all: from 20,000 pictures on there are fewer resamples, and less noise in each
_BLOCK = 2_000_000
_ALPHA = 0.025
_TRUSTED = 10  # wrong answers: with as many, the spread of the resamples counts half
_LEAST = 1 / 3  # of the sd: resamples without the few large losses would give bounds without end
MACRO, MEANS = ("macro_precision", "macro_recall", "macro_f1"), ("loss", "brier")


def intervals(answers: Answers, *, seed: int = 0, resamples: int | None = None) -> dict:
    """95 % intervals of macro precision, recall and F1, NLL, Brier score and ECE.

    Each resample draws N of the N pictures with replacement and computes all figures t* from the same draw, t is that
    of the pictures themselves.

    Macro figures: Wilson's interval of t with n pictures, 1 / n = (e / n_drawn + 10 / n_even) / (e + 10), e wrong
    answers, n_drawn = t (1 - t) / var(t*), n_even = K**2 / sum_k 1 / support_k, over classes with pictures. Quantiles
    of t* know nothing of mistakes that were not made: without any, they would be [1, 1].

    NLL and Brier score: t - q s, q the 97.5 and 2.5 % quantiles of (t* - t) / s*, s and s* the sds of the scores that
    t and t* are means of, s* at least a third of s. None where no answer is wrong: what a mistake costs is not known.

    The ECE is above 0 by chance, and more so in a resample. Its interval is 2 t - mean(t*) -+ 1.96 s, where s is the sd
    of the signed gaps sum_b sign(g_b) g*_b; it begins at 0 where t is not above `ece_by_chance`, the 97.5 % quantile of
    what a perfectly calibrated network with these confidences c shows: g_b normal, variance sum of c (1 - c) / n**2.
    It ends no lower than mean(c) less the lower bound of the accuracy.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 12 (studentized); Bröcker and Smith,
    "Increasing the Reliability of Reliability Diagrams", 2007 (what a calibrated network shows; they draw outcomes).

    Args:
        seed: the draws are a function of it and of N.
        resamples: default 1,000, and fewer from 20,000 pictures on, down to 200.
    Returns:
        {"intervals": {name: [low, high] or None}, "ece_by_chance": e, "bootstrap": {"method", "resamples", "seed"}}.
    """
    n = len(answers)
    resamples = resamples or min(RESAMPLES, max(FEWEST, _DRAWS // n))
    table = _Table(answers)
    whole = table.figures(np.ones((1, n)))
    parts = [table.figures(times) for times in _draw(n, resamples, seed)]
    drawn = {name: np.concatenate([part[name] for part in parts]) for name in whole}
    chance = _calibration_by_chance(answers.confidence, seed)
    found = {name: _macro(float(whole[name][0]), drawn[name], answers) for name in MACRO}
    found |= {name: None if answers.right.all() else _studentized(whole[name][0], drawn[name]) for name in MEANS}
    low, high = _debiased(whole["gaps"][0], drawn["gaps"], chance)
    least = float(answers.confidence.mean()) - wilson(int(answers.right.sum()), n)[0]
    found["ece"] = low, max(high, least)
    return {
        "intervals": {name: bounds and [float(bound) for bound in bounds] for name, bounds in found.items()},
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
        scores = np.stack([answers.loss, answers.brier], 1)
        self.powers = np.concatenate([scores, scores**2], 1)

    def figures(self, times: np.ndarray) -> dict[str, np.ndarray]:
        """Each figure of each resample.

        Shape: times (R, N); returns (R,) for macro figures, (R, 2), mean and sd, for means, (R, bins) for the gaps.
        """
        n = times.shape[1]
        hits, true, predicted = (times @ part for part in (self.hits, self.true, self.predicted))
        means, squares = np.split(times @ self.powers / n, 2, axis=1)
        sds = np.sqrt(np.maximum(squares - means**2, 0))
        return {
            "macro_precision": _share(hits, predicted, true),
            "macro_recall": _share(hits, true, true),
            "macro_f1": _share(2 * hits, true + predicted, true),
            "loss": np.stack([means[:, 0], sds[:, 0]], 1),
            "brier": np.stack([means[:, 1], sds[:, 1]], 1),
            "gaps": times @ self.gaps / n,
        }


def _share(part: np.ndarray, whole: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Mean over the classes that have pictures; 0 / 0 is 0, as in `metrics.score`."""
    shares = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return shares.sum(1, where=true > 0) / (true > 0).sum(1)


def _macro(value: float, values: np.ndarray, answers: Answers) -> list[float]:
    support = np.bincount(answers.targets)
    support, wrong = support[support > 0], int((~answers.right).sum())
    even = (1 / support).sum() / len(support) ** 2
    spread = value * (1 - value)
    drawn = values.var() / spread if spread > 1e-12 else even
    return wilson_of_mean(value, (wrong + _TRUSTED) / (wrong * drawn + _TRUSTED * even))


def _studentized(whole: np.ndarray, drawn: np.ndarray) -> tuple[float, float]:
    """Shape: whole (2,) and drawn (R, 2): means and sds of scores that are not negative."""
    mean, sd = (float(value) for value in whole)
    if sd == 0:  # all alike
        return mean, mean
    low, high = np.quantile((drawn[:, 0] - mean) / np.maximum(drawn[:, 1], _LEAST * sd), [_ALPHA, 1 - _ALPHA])
    return max(0.0, mean - high * sd), mean - low * sd


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
