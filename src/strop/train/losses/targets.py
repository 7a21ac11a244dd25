"""What the losses share: a target as shares of the classes."""

import torch.nn.functional as F
from torch import Tensor


def as_shares(target: Tensor, logits: Tensor) -> Tensor:
    """A class as one-hot; shares stay what they are.

    Shape:
        target: (B,) int64 or (B, K). logits: (B, K). Returns: (B, K) of the logits' type.
    """
    return (F.one_hot(target, logits.shape[1]) if target.ndim == 1 else target).to(logits.dtype)
