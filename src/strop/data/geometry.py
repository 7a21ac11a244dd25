"""From a picture of any size to the square that a model takes. Shared by training, evaluation and deployment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from .chance import key, uniforms

_TRIES = 10


class Box(NamedTuple):
    """A part of a picture, in pixels; rows top .. top + height - 1, columns left .. left + width - 1."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, pixels: np.ndarray) -> np.ndarray:
        """A view of this part. Shape: pixels (H, W, ...); returns (height, width, ...)."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True)
class RandomCrop:
    """Where a random-resized-crop cuts, as a pure function of (seed, epoch, the picture's number, its shape).

    A box of area u * H * W, u uniform in `scale`, and of width / height = exp(v), v uniform in log(`ratio`), at a
    uniform place; of ten such boxes the first that fits. Where none fits: the largest centre box whose width / height
    lies in `ratio`.

    Source: Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, arXiv:1409.4842.

    Args:
        scale: smallest and largest share of the area; 0 < smallest <= largest <= 1.
        ratio: smallest and largest width / height; 0 < smallest <= largest.
        flip: probability of mirroring left to right, 0 to 1.
    Raises:
        UserError: an argument is out of range.

    Example:
        >>> crop = RandomCrop(scale=(1, 1), ratio=(1, 1))
        >>> crop.place(crop.draw(seed=0, epoch=0, indices=np.array([7])), [(32, 32)])
        [(Box(top=0, left=0, height=32, width=32), False)]
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.0

    def __post_init__(self):
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise UserError("crop.scale", f"{self.scale} is no range of shares. Write for example (0.08, 1).")
        if not 0 < self.ratio[0] <= self.ratio[1] < math.inf:
            raise UserError("crop.ratio", f"{self.ratio} is no range of width / height. Write (0.75, 1.33).")
        if not 0 <= self.flip <= 1:
            raise UserError("crop.flip", f"{self.flip} is no probability. Write 0 to 1.")

    def draw(self, seed: int, epoch: int, indices: np.ndarray) -> np.ndarray:
        """The chances of some pictures, each of (seed, epoch, its number) only: `place` turns them into boxes.

        Shape:
            indices: (B,) integers. Returns: (B, 23) in [0, 1).
        """
        return uniforms(key(seed, "random-crop", epoch), indices, 2 * _TRIES + 3)

    def place(self, chances: np.ndarray, shapes: list[tuple[int, int]]) -> list[tuple[Box, bool]]:
        """A box for each picture, and whether the result is mirrored.

        Args:
            chances: from `draw`.
            shapes: (height, width) of each picture in pixels.
        """
        shape = np.array(shapes, dtype=np.int64).reshape(-1, 2)
        sides = self._sides(chances, shape)
        none_fits = sides[:, 0] == 0
        if none_fits.any():
            sides[none_fits] = self._centre_sides(shape[none_fits])
        corners = chances[:, -3:-1] * (shape - sides + 1)
        corners[none_fits] = (shape - sides)[none_fits] / 2
        rows = np.concatenate([corners.astype(np.int64), sides], 1).tolist()
        return [(Box(*row), flip) for row, flip in zip(rows, (chances[:, -1] < self.flip).tolist(), strict=True)]

    def _sides(self, chances: np.ndarray, shape: np.ndarray) -> np.ndarray:
        """Height and width of the first box that fits; 0 and 0 where none does."""
        low, high = self.scale
        areas = (low + (high - low) * chances[:, :_TRIES]) * shape.prod(1)[:, None]
        low, high = np.log(self.ratio)
        ratios = np.exp(low + (high - low) * chances[:, _TRIES : 2 * _TRIES])
        sides = np.rint(np.sqrt([areas / ratios, areas * ratios])).astype(np.int64)  # (2, B, tries)
        fits = ((sides > 0) & (sides <= shape.T[:, :, None])).all(0)
        rows, first = np.arange(len(fits)), fits.argmax(1)
        return (sides[:, rows, first] * fits[rows, first]).T

    def _centre_sides(self, shape: np.ndarray) -> np.ndarray:
        heights, widths = shape.T
        tall = np.minimum(heights, np.rint(widths / self.ratio[0]).astype(np.int64))
        wide = np.minimum(widths, np.rint(heights * self.ratio[1]).astype(np.int64))
        return np.maximum(np.stack([tall, wide], 1), 1)


def fit_square(pixels: np.ndarray, size: int, channels: int) -> np.ndarray:
    """Cut the centre square and scale it to size x size.

    The square's side is the picture's shorter side, so what is seen is what scaling the shorter side to `size`
    and then cutting would show. Shrinking averages areas (no aliasing), enlarging is bilinear; a picture that
    already fits is not touched. Colour becomes grey by ITU-R 601, 0.299 R + 0.587 G + 0.114 B; grey is repeated.

    Args:
        pixels: grey (C = 1) or RGB (C = 3).
        size: side of the result in pixels, >= 1.
        channels: 1 or 3.
    Shape:
        pixels: (H, W, C) uint8. Returns: (channels, size, size) uint8, contiguous.

    Example:
        >>> fit_square(np.zeros((480, 640, 3), np.uint8), 224, 3).shape
        (3, 224, 224)
    """
    height, width = pixels.shape[:2]
    side = min(height, width)
    square = Box((height - side) // 2, (width - side) // 2, side, side).cut(pixels)
    if square.shape[2] == 3 and channels == 1:
        square = to_grey(square)
    if side != size:
        square = _scale(square, size)
    planes = np.empty((channels, size, size), np.uint8)
    write_planes(square, planes)
    return planes


def resize_smoothly(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale for training: bilinear, without aliasing where an axis shrinks.

    An axis that shrinks by r, 1 < r <= 2, is first averaged with weights (a, 1 - 2a, a), a = (r**2 - 1) / 12. With
    bilinear sampling that has the variance of the triangle of half width r, the usual antialiased bilinear filter, at
    about 0.4 times the cost of averaging areas. Above 2, areas are averaged.

    Shape:
        pixels: (H, W, C) uint8. Returns: (height, width, C) uint8; `pixels` itself where nothing changes.
    """
    import cv2

    tall, wide = pixels.shape[:2]
    if (tall, wide) == (height, width):
        return pixels
    if tall > 2 * height or wide > 2 * width:
        # INTER_AREA averages only where no axis grows, so the other axis is left to the bilinear step.
        smaller = min(wide, width), min(tall, height)
        pixels = cv2.resize(pixels, smaller, interpolation=cv2.INTER_AREA)
    elif tall > height or wide > width:
        across, down = _soften(wide / width), _soften(tall / height)
        pixels = cv2.sepFilter2D(pixels, -1, across, down, borderType=cv2.BORDER_REPLICATE)
    scaled = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    return scaled[:, :, None] if scaled.ndim == 2 else scaled


def _soften(shrink: float) -> np.ndarray:
    weight = max(0.0, (shrink**2 - 1) / 12)
    return np.array([weight, 1 - 2 * weight, weight], np.float32)


def write_planes(pixels: np.ndarray, planes: np.ndarray, mirrored: bool = False) -> None:
    """Copy (H, W, 1 or 3) into (C, H, W); grey is repeated, `mirrored` swaps left and right."""
    import cv2

    if mirrored:
        pixels = cv2.flip(pixels, 1).reshape(pixels.shape)
    if pixels.shape[2] == 3:
        cv2.split(pixels, list(planes))
    else:
        planes[:] = pixels[:, :, 0]


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """ITU-R 601 luma. Shape: (H, W, 3) uint8; returns (H, W, 1)."""
    import cv2

    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[:, :, None]


def _scale(square: np.ndarray, size: int) -> np.ndarray:
    import cv2

    how = cv2.INTER_AREA if size < len(square) else cv2.INTER_LINEAR
    scaled = cv2.resize(square, (size, size), interpolation=how)
    return scaled[:, :, None] if scaled.ndim == 2 else scaled
