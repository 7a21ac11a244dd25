"""Stronger or fainter colours."""

import torch

from . import augmentations
from .pixels import blend, both_ways, change, check_shares, grey_of, toss


@augmentations.add("saturation")
def saturation(images, chance, *, strength: float = 0.4, p: float = 0.5):
    """Multiply each pixel's difference from its grey by 1 - strength to 1 + strength, with probability p.

    Pictures that do not have three channels stay as they are.

    Args:
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("saturation", strength=strength, p=p)
    chosen, u = toss(chance, p)
    return change(images, chosen, adjust_saturation, 1 + strength * both_ways(u[:, 0]))


def adjust_saturation(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """grey + factors * (images - grey), pixel by pixel.

    Shape:
        images: (B, C, H, W) uint8. factors: (B,). Returns: float32, neither rounded nor cut; `images` if C is not 3.
    """
    return blend(images, grey_of(images), factors) if images.shape[1] == 3 else images
