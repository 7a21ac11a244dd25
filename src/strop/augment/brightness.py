"""Lighter or darker."""

import torch

from . import augmentations
from .pixels import both_ways, change, check_shares, per_picture, toss


@augmentations.add("brightness")
def brightness(images, chance, *, strength: float = 0.4, p: float = 0.5):
    """Multiply a picture by a number between 1 - strength and 1 + strength, with probability p.

    Args:
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("brightness", strength=strength, p=p)
    chosen, u = toss(chance, p)
    return change(images, chosen, adjust_brightness, 1 + strength * both_ways(u[:, 0]))


def adjust_brightness(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """factors * images. Shape: (B, C, H, W) uint8, factors (B,). Returns: float32, neither rounded nor cut."""
    return images.float().mul_(per_picture(factors))
