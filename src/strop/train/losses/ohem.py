"""Online hard example mining: the easiest pictures of a batch are left out."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from . import losses


@losses.add("ohem")
class OHEM(nn.Module):
    """Cross-entropy of the hardest share of a batch; the rest cost nothing.

    With n = ceil(share * B): loss_i = B / n * cross-entropy_i for the n pictures with the largest, else 0, so that the
    batch mean is the mean over those that are kept. Of equal ones at the border the first are kept.

    Source: Shrivastava et al., "Training Region-based Object Detectors with Online Hard Example Mining", CVPR 2016,
    arXiv:1604.03540. Unlike the paper: pictures instead of regions, and no second pass for those that are kept.
    Where a batch is worked on in pieces, the hardest are those of each piece. With class weights the order stays that
    of the cross-entropy alone.

    Args:
        share: what is kept, in (0, 1]; 1 is cross-entropy.
    Shape:
        logits: (B, K). target: (B,) int64 or (B, K). Returns: (B,) in nats.
    Raises:
        ValueError: share out of range.
    """

    def __init__(self, share: float = 0.9):
        super().__init__()
        if not 0 < share <= 1:
            raise ValueError(f"share is {share}; it must be above 0 and at most 1.")
        self.share = share

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        costs = F.cross_entropy(logits, target, reduction="none")
        kept = math.ceil(self.share * len(costs))
        hardest = costs.detach().argsort(descending=True, stable=True)[:kept]
        return costs * torch.zeros_like(costs).index_fill_(0, hardest, len(costs) / kept)
