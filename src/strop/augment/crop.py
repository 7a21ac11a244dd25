"""Shift by padding and cutting at a random place."""

import torch

from ..errors import UserError
from . import augmentations
from .pixels import check_shares


@augmentations.add("crop")
def crop(images, chance, *, pixels: int = 0, strength: float = 1.0, p: float = 1.0):
    """Pad each side by `pixels` in mirror image and cut a random window of the old size, with probability p.

    shift = floor(u * (2 * m + 1)) - m with m = round(strength * pixels), for rows and for columns.
    The padding repeats what is next to the edge but not the edge itself (c b | a b c), so no black borders teach the
    model something about borders.

    Args:
        pixels: largest shift, in pixels; 0 means an eighth of the side; below the side.
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: pixels is negative or not below the side; another option is out of range.
    """
    check_shares("crop", strength=strength, p=p)
    height, width = images.shape[2:]
    most = pixels or min(height, width) // 8
    if not 0 <= most < min(height, width):
        fits = f"Write less than {min(height, width)}, or 0 to let strop choose."
        raise UserError("crop.pixels", f"{pixels} does not fit pictures of {width} x {height}. {fits}")
    most = round(strength * most)
    shifts = (chance(2) * (2 * most + 1)).long() - most
    shifts *= chance(1) < p
    rows = _mirror(torch.arange(height, device=images.device) + shifts[:, :1], height)
    columns = _mirror(torch.arange(width, device=images.device) + shifts[:, 1:], width)
    places = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)
    flat = images.flatten(2)
    return flat.gather(2, places[:, None].expand(-1, flat.shape[1], -1)).view_as(images)


def _mirror(places: torch.Tensor, size: int) -> torch.Tensor:
    """Fold places from [-(size - 1), 2 * (size - 1)] back into [0, size - 1]."""
    places = places.abs()
    return torch.where(places < size, places, 2 * (size - 1) - places)
