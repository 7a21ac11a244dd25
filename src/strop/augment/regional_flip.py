"""Mirror a part of the picture."""

import torch

from . import augmentations
from .boxes import cut_boxes, place_boxes, side_in_pixels, write_boxes
from .pixels import change, check_shares, toss


@augmentations.add("regional-flip")
def regional_flip(images, chance, *, side: float = 0.5, strength: float = 1.0, p: float = 0.5):
    """Mirror what is in a random square, left to right or top to bottom, with probability p.

    The square has round(strength * side * min(H, W)) pixels a side and lies inside the picture.

    Args:
        side: share of the shorter side, 0 to 1.
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("regional-flip", side=side, strength=strength, p=p)
    chosen, u = toss(chance, p, 3)
    places = place_boxes(u, images, side_in_pixels(images, strength * side))
    return change(images, chosen, flip_boxes, places, u[:, 2] < 0.5)


def flip_boxes(images: torch.Tensor, places: torch.Tensor, upright: torch.Tensor) -> torch.Tensor:
    """Mirror boxes top to bottom where `upright`, else left to right.

    Shape:
        images: (B, C, H, W) uint8. places: (B, side * side), from `place_boxes`. upright: (B,) bool. Returns: uint8.
    """
    boxes = cut_boxes(images, places)
    flipped = torch.where(upright[:, None, None, None], boxes.flip(2), boxes.flip(3))
    return write_boxes(images, places, flipped)
