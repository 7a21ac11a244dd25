"""Focal loss: what is known already counts little."""

import torch
import torch.nn as nn
from torch import Tensor

from . import losses
from .targets import as_shares


@losses.add("focal")
class Focal(nn.Module):
    """Cross-entropy in which each class counts by how little the network believes in it.

    loss = -alpha sum_k q_k (1 - p_k)**gamma log p_k, p = softmax(logits), q the target, one-hot or shares.

    Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, arXiv:1708.02002, equations 4 and 5.
    Unlike the paper: softmax over the classes, not a sigmoid for each; alpha is one factor for all, and what it does
    there for rare classes is done by class_weights.

    Args:
        gamma: how fast a known class stops counting; >= 0, and 0 is cross-entropy.
        alpha: factor on all; > 0.
    Shape:
        logits: (B, K). target: (B,) int64 or (B, K). Returns: (B,) in nats.
    Raises:
        ValueError: an option out of range.
    """

    def __init__(self, gamma: float = 2.0, alpha: float = 1.0):
        super().__init__()
        if not 0 <= gamma < float("inf"):
            raise ValueError(f"gamma is {gamma}; it must be at least 0.")
        if not 0 < alpha < float("inf"):
            raise ValueError(f"alpha is {alpha}; it must be above 0.")
        self.gamma, self.alpha = gamma, alpha

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        log_p = logits.log_softmax(1)
        # 1 - p without cancellation; never 0, where a power below 1 has no derivative.
        doubt = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
        return -self.alpha * (as_shares(target, logits) * doubt**self.gamma * log_p).sum(1)
