"""Stronger edges."""

import torch

from . import augmentations
from .pixels import blend, change, check_shares, toss


@augmentations.add("sharpen")
def sharpen(images, chance, *, strength: float = 0.5, p: float = 0.5):
    """Enlarge the difference between a picture and its smoothed self up to 1 + 4 * strength times, with probability p.

    Args:
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("sharpen", strength=strength, p=p)
    chosen, u = toss(chance, p)
    return change(images, chosen, adjust_sharpness, 1 + 4 * strength * u[:, 0])


def adjust_sharpness(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """smooth + factors * (images - smooth); below 1 smooths, above 1 sharpens; pixels at the edge stay.

    smooth is the mean over 3 x 3 pixels in which the middle one counts five times.

    Shape:
        images: (B, C, H, W) uint8. factors: (B,). Returns: uint8.
    """
    if min(images.shape[2:]) < 3:
        return images
    inner = images[:, :, 1:-1, 1:-1]
    numbers = images.to(torch.int16)
    columns = numbers[:, :, :-2] + numbers[:, :, 1:-1] + numbers[:, :, 2:]
    total = columns[..., :-2] + columns[..., 1:-1] + columns[..., 2:]
    total += inner.to(torch.int16) * 4
    made = blend(inner, total.float().div_(13), factors)
    sharpened = images.clone()
    sharpened[:, :, 1:-1, 1:-1] = made.round_().clamp_(0, 255)
    return sharpened
