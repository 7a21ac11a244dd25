"""Paste a part of another picture into every one."""

import math

import torch
from torch import Tensor

from . import check_mixing, draw_share, mixings


@mixings.add("cutmix")
class CutMix:
    """Replace a box of each picture by that of another one in the batch, and as much of its classes.

    With lam ~ Beta(alpha, alpha) the box has round(sqrt(1 - lam) * side) pixels a side, its centre lies anywhere, and
    what is outside of the picture is cut off; then 1 - lam = box / (H W), exactly, is the share of the other's classes.
    One lam and one box a batch; the other is the picture before in the batch, which is in random order already.

    Source: Yun et al., "CutMix", ICCV 2019, arXiv:1905.04899, section 3 and the authors' code.
    Unlike the authors' code: no picture is mixed with itself.

    Args:
        alpha: above 0; 1 is a uniform lam.
        p: probability that a batch is mixed; 0 to 1.
        share: how often it is picked where there are several mixings; above 0.
    Shape:
        images: (B, C, H, W). shares: (B, K). Returns: images of the same kind, shares float32.
    Raises:
        ValueError: an option out of range.
    """

    def __init__(self, alpha: float = 1.0, p: float = 1.0, share: float = 1.0):
        check_mixing(alpha, p, share)
        self.alpha, self.p, self.share = alpha, p, share

    def __call__(self, images: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        side = math.sqrt(1 - draw_share(self.alpha))
        height, width = images.shape[2:]
        rows, columns = (_cut(n, side, u) for n, u in zip((height, width), torch.rand(2).tolist(), strict=True))
        mixed = images.clone()
        mixed[:, :, rows, columns] = images.roll(1, 0)[:, :, rows, columns]
        lam = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
        return mixed, (shares * lam).add_(shares.roll(1, 0), alpha=1 - lam)


def _cut(length: int, side: float, u: float) -> slice:
    """round(side * length) pixels around floor(u * length), inside of 0 to length."""
    size, centre = round(side * length), int(u * length)
    first = centre - size // 2
    return slice(max(first, 0), min(first + size, length))
