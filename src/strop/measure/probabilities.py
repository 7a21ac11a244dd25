"""Scores of probabilities: each as what a batch adds, so that any number of pictures takes the same memory."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

BINS = 15
TOP = 5


def brier(probabilities: Tensor, targets: Tensor) -> Tensor:
    """The Brier score of each picture: the squared distance of the probabilities from the truth.

    brier_i = sum_k (p_ik - [k = y_i])**2, in [0, 2]; 0 is certain and right, 2 certain and wrong, (K - 1) / K what
    equal probabilities get.

    Source: Brier, "Verification of Forecasts Expressed in Terms of Probability", 1950.
    Unlike scikit-learn's `brier_score_loss` for two classes: both are summed, not halved.

    Shape:
        probabilities: (B, K), rows sum to 1. targets: (B,) int64. Returns: (B,) without unit.
    """
    right = probabilities.gather(1, targets[:, None])[:, 0]
    return probabilities.square().sum(1) - right.square() + (1 - right).square()


def within(scores: Tensor, targets: Tensor, k: int) -> Tensor:
    """Whether the true class is among the k highest; of equal scores the first class is the higher, as in `argmax`.

    Shape:
        scores: (B, K) logits or probabilities. targets: (B,) int64. Returns: (B,) bool.
    """
    own = scores.gather(1, targets[:, None])
    earlier = torch.arange(scores.shape[1]) < targets[:, None]
    return ((scores > own) | ((scores == own) & earlier)).sum(1) < k


def bin_confidences(confidences: Tensor, right: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """What a batch adds to the bins of `ece`: the right answers and the sum of the confidences of each bin.

    Bin b of 15 holds the confidences in (b / 15, (b + 1) / 15].

    Shape:
        confidences: (B,) float64 in [0, 1]. right: (B,) bool. Returns: (15,) int64, (15,) float64.
    """
    bins = bin_of(confidences)
    hits = torch.bincount(bins[right], minlength=BINS).numpy()
    return hits, torch.bincount(bins, confidences, minlength=BINS).numpy()


def bin_of(confidences: Tensor) -> Tensor:
    """The bin of each confidence. Shape: (B,) float64 in [0, 1]; returns (B,) int64 in 0 .. 14."""
    return ((confidences * BINS).ceil().long() - 1).clamp(0, BINS - 1)


def ece(hits: np.ndarray, confidence: np.ndarray, total: int) -> float:
    """Expected calibration error: how far confidence and accuracy are apart, over 15 bins of equal width.

    ece = sum_b n_b / n |accuracy_b - confidence_b| = sum_b |hits_b - sum of confidences_b| / n, in [0, 1]; the
    confidence of a picture is the probability of the class that was predicted. It depends on the bins: figures of
    another number of them can't be compared. It is above 0 by chance alone, the more the fewer pictures there are.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, arXiv:1706.04599, with its 15 bins.

    Args:
        hits, confidence: sums over all pictures of what `bin_confidences` gives.
        total: pictures, >= 1.
    """
    return float(np.abs(hits - confidence).sum()) / total


def reliability(counts: np.ndarray, hits: np.ndarray, confidence: np.ndarray) -> list[dict]:
    """The bars of a reliability diagram: of each bin its bounds, pictures, mean confidence and accuracy.

    Confidence and accuracy of a bin without pictures are None.

    Args:
        counts: pictures of each bin; `hits` and `confidence` are the sums of `ece`.
    """
    return [
        {
            "from": b / BINS,
            "to": (b + 1) / BINS,
            "n": int(n),
            "confidence": float(confidence[b]) / int(n) if n else None,
            "accuracy": int(hits[b]) / int(n) if n else None,
        }
        for b, n in enumerate(counts)
    ]
