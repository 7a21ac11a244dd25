"""Binary cross-entropy: every class is a question of its own."""

import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from . import losses
from .targets import as_shares


@losses.add("bce")
class BinaryCrossEntropy(nn.Module):
    """Ask of each class on its own whether it is in the picture.

    loss = -1/K sum_k (q_k log s_k + (1 - q_k) log(1 - s_k)), s = sigmoid(logits),
    q = (1 - smoothing) * target + smoothing / K and then, with a threshold, q_k = 1 where q_k > threshold, else 0:
    a picture mixed of two classes holds both.

    Source: Wightman et al., "ResNet strikes back", 2021, arXiv:2110.00476; the threshold is the --bce-target-thresh of
    timm, with which they trained.

    Args:
        smoothing: share of the target spread over all classes; in [0, 1).
        threshold: share above which a class counts as wholly there; in [0, 1), or none.
    Shape:
        logits: (B, K). target: (B,) int64 or (B, K). Returns: (B,) in nats.
    Raises:
        ValueError: an option out of range.
    """

    def __init__(self, smoothing: float = 0.0, threshold: float | None = None):
        super().__init__()
        for name, value in (("smoothing", smoothing), ("threshold", threshold)):
            if value is not None and not 0.0 <= value < 1.0:
                raise ValueError(f"{name} is {value}; it must be at least 0 and below 1.")
        self.smoothing, self.threshold = smoothing, threshold

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        shares = (1 - self.smoothing) * as_shares(target, logits) + self.smoothing / logits.shape[1]
        if self.threshold is not None:
            shares = (shares > self.threshold).to(logits.dtype)
        return F.binary_cross_entropy_with_logits(logits, shares, reduction="none").mean(1)
