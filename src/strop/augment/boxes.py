"""Square boxes inside pictures: choose the place, cut out, write back."""

from __future__ import annotations

import torch


def place_boxes(u: torch.Tensor, images: torch.Tensor, side: int) -> torch.Tensor:
    """Where boxes lie; all of a box is inside its picture, every place equally likely.

    Args:
        side: pixels, at most min(H, W).
    Shape:
        u: (B, 2) in [0, 1). images: (·, C, H, W). Returns: (B, side * side) int64, pixels as row * W + column.
    """
    height, width = images.shape[2:]
    along = torch.arange(side, device=u.device)
    rows = (u[:, :1] * (height - side + 1)).long() + along
    columns = (u[:, 1:2] * (width - side + 1)).long() + along
    return (rows[:, :, None] * width + columns[:, None, :]).flatten(1)


def cut_boxes(images: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Shape: images (B, C, H, W), places (B, side * side). Returns: (B, C, side, side)."""
    side = round(places.shape[1] ** 0.5)
    index = places[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, index).unflatten(2, (side, side))


def write_boxes(images: torch.Tensor, places: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """A copy of `images` with `boxes` (B, C, side, side) at `places` (B, side * side)."""
    index = places[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).scatter(2, index, boxes.flatten(2)).view_as(images)


def side_in_pixels(images: torch.Tensor, side: float) -> int:
    """A share of the shorter side of the pictures, in whole pixels."""
    return round(side * min(images.shape[2:]))
