"""Augmentations that mix the pictures of a batch with each other: one class a file, found by its name.

They lie in a folder of their own because they keep to another contract than those that see one picture at a time. A
mixing is called as `mixing(images, shares)`, images (B, C, H, W) uint8 or float in [0, 255] and shares (B, K) float,
the share of each class in a picture, and gives both back, mixed, in new tensors. It works where the training computes,
on the batch that an update sees, after all other augmentations. All its randomness comes from torch's CPU generator,
which the loop seeds anew for each step; so what happens is a function of (seed, step). Every mixing has `p`, the
probability that it mixes a batch, and `share`, how often it is picked where there are several.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

mixings = Registry("batch mixing", __name__, __path__)


def pick_one(chosen: Sequence[Callable], classes: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """A function of a batch that mixes it by one of the mixings, or leaves it as it is.

    Mixing m is picked with probability share_m / sum of the shares, and then mixes with its own probability p_m.

    Args:
        chosen: made mixings, at least one.
        classes: K.
    Returns:
        `mix(images, target)`, target (B,) int64: images and the shares (B, K) float32 of the classes, also where
        nothing was mixed.

    Example:
        >>> mix = pick_one([mixings.get("mixup")(alpha=0.2), mixings.get("cutmix")()], classes=10)
    """
    import torch

    shares = torch.tensor([mixing.share for mixing in chosen], dtype=torch.float64).cumsum(0)

    def mix(images: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        picks, mixes = torch.rand(2, dtype=torch.float64)
        mixing = chosen[int((picks * shares[-1] >= shares).sum())]
        onehot = torch.nn.functional.one_hot(target, classes).float()
        return mixing(images, onehot) if mixes < mixing.p else (images, onehot)

    return mix


def check_mixing(alpha: float, p: float, share: float) -> None:
    """Raises ValueError for an option out of range."""
    if not 0 < alpha < float("inf"):
        raise ValueError(f"alpha is {alpha}; it must be above 0.")
    if not 0 <= p <= 1:
        raise ValueError(f"p is {p}; it must be from 0 to 1.")
    if not 0 < share < float("inf"):
        raise ValueError(f"share is {share}; it must be above 0.")


def draw_share(alpha: float) -> float:
    """One number from Beta(alpha, alpha), from torch's CPU generator."""
    import torch

    return float(torch.distributions.Beta(alpha, alpha).sample())
