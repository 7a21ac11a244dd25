"""Telling pictures of another kind: how well scores of the logits separate them from those of the data."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm, rankdata

TPR = 0.95


def outlier_scores(logits: np.ndarray, *, has_logits: bool) -> dict[str, np.ndarray]:
    """Scores that are high for pictures of the data and low for others.

    max softmax = max_k p_k; energy = log sum_k exp(z_k), the negative free energy.

    Source: Hendrycks and Gimpel, arXiv:1610.02136 (max softmax); Liu et al., "Energy-based Out-of-distribution
    Detection", arXiv:2010.03759 (energy, at temperature 1).

    Args:
        has_logits: whether these are logits; of log-probabilities, which a file gives, the energy is always 0 and left
            out.
    Shape:
        logits: (N, K). Returns: (N,) for each name.
    """
    z = logits.astype(np.float64)
    energy = logsumexp(z, axis=1)
    return {"max softmax": np.exp(z.max(1) - energy)} | ({"energy": energy} if has_logits else {})


def separation(inside: np.ndarray, outside: np.ndarray) -> dict:
    """How well a score tells pictures inside the data from those outside.

    auroc = P(inside > outside) + P(equal) / 2; fpr_at_95_tpr: the share of outside pictures that reach the score which
    95 % of the inside ones reach. The interval is DeLong's: with v_i the share of outside pictures below inside picture
    i, and w_j of inside pictures above outside picture j, the variance is var(v) / n + var(w) / m.

    Source: DeLong, DeLong, Clarke-Pearson, "Comparing the Areas under Two or More Correlated ROC Curves", 1988.

    Shape:
        inside: (n,). outside: (m,). At least two of each.
    """
    n, m = len(inside), len(outside)
    ranks = rankdata(np.concatenate([inside, outside]))
    v = (ranks[:n] - rankdata(inside)) / m
    w = 1 - (ranks[n:] - rankdata(outside)) / n
    auroc = float(v.mean())
    spread = norm.ppf(0.975) * float(np.sqrt(v.var(ddof=1) / n + w.var(ddof=1) / m))
    least = np.sort(inside)[n - int(np.ceil(TPR * n))]
    return {
        "auroc": auroc,
        "auroc_interval": [max(0.0, auroc - spread), min(1.0, auroc + spread)],
        "fpr_at_95_tpr": float((outside >= least).mean()),
    }
