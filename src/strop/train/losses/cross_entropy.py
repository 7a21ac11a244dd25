"""Cross-entropy, with label smoothing."""

import torch.nn as nn

from . import losses


@losses.add("cross-entropy")
class CrossEntropy(nn.CrossEntropyLoss):
    """How surprised the network is by the true class.

    loss = -sum_k q_k log softmax(logits)_k; q = (1 - smoothing) * target + smoothing / K, the target one-hot or shares.

    Source: Szegedy et al., "Rethinking the Inception Architecture", 2016, arXiv:1512.00567 (smoothing).

    Args:
        smoothing: share of the target spread over all classes; in [0, 1).
    Shape:
        logits: (B, K). target: (B,) int64 or (B, K). Returns: (B,) in nats.
    Raises:
        ValueError: smoothing outside [0, 1).
    """

    def __init__(self, smoothing: float = 0.0):
        if not 0.0 <= smoothing < 1.0:
            raise ValueError(f"smoothing is {smoothing}; it must be at least 0 and below 1.")
        super().__init__(label_smoothing=smoothing, reduction="none")
