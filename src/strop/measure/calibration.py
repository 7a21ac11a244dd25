"""Temperature scaling: one number that makes probabilities mean what they say, and changes no answer."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from .probabilities import BINS, bin_confidences, bin_of, brier, ece, reliability
from .temperature import HIGHEST, LOWEST

_BLOCK = 10_000_000
_ENOUGH = 1e-6


def fit_temperature(logits: Tensor | np.ndarray, targets: Tensor | np.ndarray) -> float:
    """The temperature T that gives softmax(logits / T) the least negative log-likelihood.

    Found where the slope with b = 1 / T is 0; the NLL is convex in b:
    d NLL / d b = sum_i (sum_k p_ik z_ik - z_i,y), p = softmax(b z).

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, arXiv:1706.04599.
    Unlike theirs: a root of the slope (Brent) instead of L-BFGS; T stays in [0.05, 20], so answers
    that are all right (where the best T is 0) or no better than chance (infinite) leave finite probabilities.

    Args:
        logits: of pictures that the network was not trained on, at least one; shifting a row changes nothing, so
            log-probabilities do as well.
    Shape:
        logits: (N, K). targets: (N,) int64.

    Example:
        >>> fit_temperature(torch.tensor([[2.0, 0.0]] * 4), torch.tensor([0, 0, 0, 1]))  # 2 / ln 3
        1.82048
    """
    z, y = torch.as_tensor(logits), torch.as_tensor(targets)
    low, high = 1 / HIGHEST, 1 / LOWEST
    if _slope(z, y, low) >= 0:
        return HIGHEST
    if _slope(z, y, high) <= 0:
        return LOWEST
    root = brentq(lambda x: _slope(z, y, math.exp(x)), math.log(low), math.log(high), xtol=_ENOUGH)
    return round(math.exp(-root), 5)


def _slope(logits: Tensor, targets: Tensor, b: float) -> float:
    rows, total = max(1, _BLOCK // logits.shape[1]), 0.0
    for z, y in zip(logits.split(rows), targets.split(rows), strict=True):
        z = z - z.gather(1, y[:, None])
        total += float(((b * z).softmax(1) * z).sum(dtype=torch.float64))
    return total


def scores_at(logits: Tensor | np.ndarray, targets: Tensor | np.ndarray, temperature: float) -> dict:
    """NLL, Brier score, ECE and reliability bins of softmax(logits / temperature).

    Shape:
        logits: (N, K). targets: (N,) int64.
    """
    z, y = torch.as_tensor(logits), torch.as_tensor(targets)
    rows = max(1, _BLOCK // z.shape[1])
    loss, square, bins = 0.0, 0.0, 0
    for part, truth in zip(z.split(rows), y.split(rows), strict=True):
        scaled = part.double() / temperature
        p = scaled.softmax(1)
        loss += float(torch.nn.functional.cross_entropy(scaled, truth, reduction="sum"))
        square += float(brier(p, truth).sum())
        chosen, answer = p.max(1)
        counts = torch.bincount(bin_of(chosen), minlength=BINS).numpy()
        bins = bins + np.stack([counts, *bin_confidences(chosen, answer == truth)])
    counts, hits, confidence = bins
    return {
        "loss": loss / len(y),
        "brier": square / len(y),
        "ece": ece(hits, confidence, len(y)),
        "reliability": reliability(counts, hits, confidence),
    }
