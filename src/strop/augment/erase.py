"""Paint over a square."""

import torch

from . import augmentations
from .boxes import side_in_pixels
from .pixels import check_shares


@augmentations.add("erase")
def erase(images, chance, *, side: float = 0.3, strength: float = 1.0, p: float = 0.5):
    """Fill a random square with the picture's mean, channel by channel, with probability p.

    The square has round(strength * side * min(H, W)) pixels a side and lies inside the picture.

    Source: DeVries, Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", arXiv:1708.04552.
    Unlike the authors' code: never cut off by the border, so every erased picture loses the same area.

    Args:
        side: share of the shorter side, 0 to 1.
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("erase", side=side, strength=strength, p=p)
    height, width = images.shape[2:]
    square = side_in_pixels(images, strength * side)
    places = chance(3)
    chosen = (places[:, 2] < p).nonzero()[:, 0]
    rows = _span(places[chosen, 0], height, square)[:, :, None]
    columns = _span(places[chosen, 1], width, square)[:, None, :]
    erased = images.clone()
    erased[chosen[:, None, None], :, rows, columns] = _mean(images[chosen])[:, None, None]
    return erased


def _span(chances: torch.Tensor, size: int, square: int) -> torch.Tensor:
    """Where the square lies along one side: (B, square) positions."""
    start = (chances * (size - square + 1)).long()
    return start[:, None] + torch.arange(square, device=chances.device)


def _mean(images: torch.Tensor) -> torch.Tensor:
    """Rounded mean of each channel, (B, C). Sums of integers do not depend on how threads share the work."""
    area = images.shape[2] * images.shape[3]
    total = images.sum(dim=(2, 3), dtype=torch.int32)
    return ((total + area // 2) // area).to(torch.uint8)
