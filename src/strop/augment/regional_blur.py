"""Take the details from a part of the picture."""

import torch

from . import augmentations
from .boxes import cut_boxes, place_boxes, side_in_pixels, write_boxes
from .pixels import change, check_shares, toss

_WHOLE = 1 << 12  # bytes times weights of 12 bits: sums below 2**24 are exact in float32, in any order


@augmentations.add("regional-blur")
def regional_blur(images, chance, *, side: float = 0.5, strength: float = 0.5, p: float = 0.5):
    """Blur what is in a random square by a Gaussian, with probability p.

    The square has round(side * min(H, W)) pixels a side and lies inside the picture; the Gaussian's standard deviation
    is up to strength / 8 of that side. Only pixels of the square are mixed.

    Args:
        side: share of the shorter side, 0 to 1.
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("regional-blur", side=side, strength=strength, p=p)
    pixels = side_in_pixels(images, side)
    chosen, u = toss(chance, p, 3)
    places = place_boxes(u, images, pixels)
    return change(images, chosen, blur_boxes, places, u[:, 2] * (strength * pixels / 8))


def blur_boxes(images: torch.Tensor, places: torch.Tensor, deviations: torch.Tensor) -> torch.Tensor:
    """Convolve boxes with Gaussians, rows and columns one after the other, rounded to bytes in between.

    Shape:
        images: (B, C, H, W) uint8. places: (B, side * side). deviations: (B,) in pixels; 0 is no blur. Returns: uint8.
    """
    boxes = cut_boxes(images, places).float()
    weights = gaussian_rows(boxes.shape[2], deviations)[:, None]
    boxes = torch.matmul(weights, boxes).mul_(1 / _WHOLE).round_()
    boxes = torch.matmul(boxes, weights.transpose(2, 3)).mul_(1 / _WHOLE).round_()
    return write_boxes(images, places, boxes.to(torch.uint8))


def gaussian_rows(side: int, deviations: torch.Tensor) -> torch.Tensor:
    """Row i holds whole numbers in proportion to exp(-(i - j)**2 / (2 * deviation**2)) whose sum is 4096.

    Shape:
        deviations: (B,). Returns: (B, side, side) float32.
    """
    places = torch.arange(side, device=deviations.device, dtype=torch.float64)
    squares = (places[:, None] - places).square()
    spread = deviations.double().clamp(min=1e-3)[:, None, None]
    weights = (squares / (-2 * spread * spread)).exp()
    weights = (weights * (_WHOLE / weights.sum(2, keepdim=True))).round()
    # What rounding lost or added goes to the middle, which has the largest weight.
    weights.diagonal(dim1=1, dim2=2).add_(_WHOLE - weights.sum(2))
    return weights.float()
