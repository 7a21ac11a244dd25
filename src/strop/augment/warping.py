"""Move pixels along straight lines: turn, shift, zoom, shear."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import grid_sample


def warp(images: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Look up each pixel of the result at a place of the picture, bilinearly; beyond its edges lies its mirror image.

    (x, y) looks at (m00 * x + m01 * y + m02, m10 * x + m11 * y + m12), in pixels from the centre, y downwards.

    Shape:
        images: (B, C, H, W) uint8. maps: (B, 2, 3). Returns: (B, C, H, W) float32, not rounded.
    """
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device).float().sub_((width - 1) / 2)[None, None, :]
    y = torch.arange(height, device=images.device).float().sub_((height - 1) / 2)[None, :, None]
    maps = maps.float()[:, :, :, None, None]
    grid = torch.empty((len(images), height, width, 2), device=images.device)
    for axis, size in enumerate((width, height)):
        # Along a row only x changes: the rest is a small sum, and only one product and one sum are of full size.
        rest = maps[:, axis, 1] * y + maps[:, axis, 2]
        grid[..., axis] = (maps[:, axis, 0] * x).add(rest).mul_(2 / size)
    return grid_sample(images.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def affine_maps(
    degrees: torch.Tensor,
    shift_x: torch.Tensor,
    shift_y: torch.Tensor,
    zoom: torch.Tensor,
    shear_x: torch.Tensor,
    shear_y: torch.Tensor,
) -> torch.Tensor:
    """The maps for `warp` that shear, zoom, turn and then shift pictures about their centres.

    With A = turn * zoom * [[1, shear_x], [shear_y, 1]], the result at p looks at A**-1 (p - shift).

    Args:
        degrees: counter-clockwise. shift_x, shift_y: pixels to the right and down. zoom: > 0, above 1 magnifies.
        shear_x, shear_y: pixels along one side for a pixel along the other; shear_x * shear_y is not 1.
    Shape:
        all (B,). Returns: (B, 2, 3) float32.
    """
    turn = degrees.double() * (math.pi / 180)
    cosine, sine = turn.cos() / zoom, turn.sin() / zoom
    # [[1, -shear_x], [-shear_y, 1]] @ [[cosine, -sine], [sine, cosine]], over the determinant of the shear.
    first = torch.stack([cosine - shear_x * sine, -sine - shear_x * cosine], 1)
    second = torch.stack([sine - shear_y * cosine, cosine + shear_y * sine], 1)
    linear = torch.stack([first, second], 1) / (1 - shear_x.double() * shear_y)[:, None, None]
    shift = torch.stack([shift_x, shift_y], 1).double()
    moved = -(linear * shift[:, None, :]).sum(2, keepdim=True)
    return torch.cat([linear, moved], 2).float()


def turn(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Turn pictures about their centres, counter-clockwise. Shape: as `warp`; degrees (B,)."""
    none = torch.zeros_like(degrees)
    return warp(images, affine_maps(degrees, none, none, none + 1, none, none))


def shear(images: torch.Tensor, shear_x: torch.Tensor, shear_y: torch.Tensor) -> torch.Tensor:
    """Shear pictures about their centres. Shape: as `warp`; shear_x, shear_y (B,)."""
    none = torch.zeros_like(shear_x)
    return warp(images, affine_maps(none, none, none, none + 1, shear_x, shear_y))


def shift(images: torch.Tensor, shift_x: torch.Tensor, shift_y: torch.Tensor) -> torch.Tensor:
    """Move pictures to the right and down by pixels. Shape: as `warp`; shift_x, shift_y (B,)."""
    none = torch.zeros_like(shift_x)
    return warp(images, affine_maps(none, shift_x, shift_y, none + 1, none, none))
