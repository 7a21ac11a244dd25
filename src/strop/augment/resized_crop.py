"""Cut out a part and enlarge it to the whole."""

import math

import torch

from ..errors import UserError
from . import augmentations
from .pixels import both_ways, change, check_shares, toss
from .warping import warp


@augmentations.add("resized-crop")
def resized_crop(images, chance, *, scale: float = 0.25, ratio: float = 1.333, strength: float = 1.0, p: float = 1.0):
    """Show a random part of a picture, enlarged to the old size, with probability p.

    area = 1 - strength * (1 - scale) * u of the picture; width / height, both as shares of the sides, between 1 / r and
    r = ratio**strength, evenly in the logarithm; the place is random. Bilinear.

    Source: Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, arXiv:1409.4842.
    Unlike torchvision's RandomResizedCrop: starts from the square that is in memory, so nothing beyond it is seen;
    boxes are not rounded to pixels, and what lies just beyond one counts at its edge; shapes that do not fit are not
    drawn in the first place, where torchvision tries ten times and then takes the middle; scale is 0.25, since 0.08
    leaves 9 x 9 of 32 x 32 pixels.

    Args:
        scale: smallest area, as a share of the picture, above 0 to 1.
        ratio: longest shape, 1 to 10.
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("resized-crop", scale=scale, strength=strength, p=p)
    if scale == 0:
        raise UserError("resized-crop.scale", "0 leaves nothing of the picture. Write above 0 to 1, such as 0.25.")
    if not 1 <= ratio <= 10:
        raise UserError("resized-crop.ratio", f"{ratio} is out of range. Write 1 to 10, such as 1.333.")
    chosen, u = toss(chance, p, 4)
    u = u.double()
    area = 1 - strength * (1 - scale) * u[:, 0]
    # Neither side may be longer than the picture: area <= ratio <= 1 / area.
    longest = torch.minimum(-area.log(), torch.full_like(area, strength * math.log(ratio)))
    shape = (longest * both_ways(u[:, 1])).exp()
    # Rounding must not push a box over the edge.
    width, height = (area * shape).sqrt().clamp(max=1), (area / shape).sqrt().clamp(max=1)
    left, top = (1 - width) * u[:, 2], (1 - height) * u[:, 3]
    return change(images, chosen, show_part, torch.stack([left, top, width, height], 1))


def show_part(images: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Enlarge the part of a picture in its box to the size of the picture, bilinearly.

    Shape:
        images: (B, C, H, W) uint8. boxes: (B, 4) left, top, width, height as shares of the sides; inside the picture.
        Returns: (B, C, H, W) float32, not rounded.
    """
    maps = boxes.new_zeros(len(boxes), 2, 3)
    for axis, size in enumerate((images.shape[3], images.shape[2])):
        start, length = boxes[:, axis], boxes[:, axis + 2]
        maps[:, axis, axis] = length
        maps[:, axis, 2] = (start + length / 2 - 0.5) * size
    return warp(images, maps)
