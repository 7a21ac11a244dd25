"""More or less difference from the mean."""

import torch

from . import augmentations
from .pixels import blend, both_ways, change, check_shares, mean_grey, per_picture, toss


@augmentations.add("contrast")
def contrast(images, chance, *, strength: float = 0.4, p: float = 0.5):
    """Multiply a picture's difference from its mean grey by 1 - strength to 1 + strength, with probability p.

    Args:
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("contrast", strength=strength, p=p)
    chosen, u = toss(chance, p)
    return change(images, chosen, adjust_contrast, 1 + strength * both_ways(u[:, 0]))


def adjust_contrast(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """mean + factors * (images - mean), one mean a picture.

    Shape:
        images: (B, C, H, W) uint8. factors: (B,). Returns: float32, neither rounded nor cut.
    """
    return blend(images, per_picture(mean_grey(images)), factors)
