"""From a picture of any size to the square that a model takes. Shared by training, evaluation and deployment."""

from __future__ import annotations

import numpy as np


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
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[top : top + side, left : left + side]
    if square.shape[2] == 3 and channels == 1:
        square = _to_grey(square)
    if side != size:
        square = _scale(square, size)
    planes = np.moveaxis(square, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(planes, (channels, size, size)))


def _to_grey(pixels: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)[:, :, None]


def _scale(square: np.ndarray, size: int) -> np.ndarray:
    import cv2

    how = cv2.INTER_AREA if size < len(square) else cv2.INTER_LINEAR
    scaled = cv2.resize(np.ascontiguousarray(square), (size, size), interpolation=how)
    return scaled[:, :, None] if scaled.ndim == 2 else scaled
