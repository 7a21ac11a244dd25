"""What cameras and programs do to pictures: contrast, distortion, large pixels, JPEG."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import simplejpeg

from .blur import each


def contrast(images: np.ndarray, c: float, draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """(x - m) c + m, m the mean of the picture's channel."""
    x = images.astype(np.float32) / 255
    mean = x.mean((1, 2), keepdims=True)
    return (x - mean) * c + mean


def elastic(images: np.ndarray, c: tuple[float, float, float], draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """Three corners of the middle third move by up to c2, and every place by c0 times uniform noise blurred with sd c1.

    In shares of the side; what lies beyond the edges is the mirror image.

    Unlike the original: both are one look-up, so values are mixed once; an sd of 8 and more is made on a coarse grid.
    """
    height, width = images.shape[1:3]
    side = min(height, width)
    alpha, sd, corner = (side * value for value in c)
    drawn = 2 * draw(6 + 2 * height * width).astype(np.float32) - 1
    middle = np.array([width // 2, height // 2], np.float32)
    third = side // 3
    corners = middle + third * np.array([[1, 1], [1, -1], [-1, -1]], np.float32)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))

    def change(image: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        moved = corners + corner * drawn[:6].reshape(3, 2)
        back = cv2.getAffineTransform(moved, corners)
        right, down = x, y
        if alpha > 0:
            shifts = drawn[6:].reshape(2, height, width)
            right, down = (place + alpha * _smooth(shift, sd) for place, shift in zip((x, y), shifts, strict=True))
        there = [(a * right + b * down + shift).astype(np.float32) for a, b, shift in back]
        return cv2.remap(image, *there, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)

    return each(images, change, drawn)


def _smooth(noise: np.ndarray, sd: float) -> np.ndarray:
    """Noise blurred with an sd of pixels; of a wide one a coarser picture is the same to the eye and far faster."""
    height, width = noise.shape
    coarse = max(1, int(sd / 4))
    if coarse > 1:
        noise = cv2.resize(noise, (-(-width // coarse), -(-height // coarse)), interpolation=cv2.INTER_AREA)
    wide = 2 * max(1, int(3 * sd / coarse + 0.5)) + 1
    noise = cv2.GaussianBlur(noise, (wide, wide), sd / coarse, borderType=cv2.BORDER_REFLECT)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) if coarse > 1 else noise


def pixelate(images: np.ndarray, c: float, draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """Averaged to a share c of the side, and each value repeated."""
    height, width = images.shape[1:3]
    small = max(1, int(c * width)), max(1, int(c * height))

    def change(image: np.ndarray) -> np.ndarray:
        shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)

    return each(images, change)


def jpeg(images: np.ndarray, c: int, draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """Written as JPEG of quality c, colours at half the resolution, and read again."""
    space, sampling = ("GRAY", "Gray") if images.shape[3] == 1 else ("RGB", "420")

    def change(image: np.ndarray) -> np.ndarray:
        data = simplejpeg.encode_jpeg(image, quality=c, colorspace=space, colorsubsampling=sampling)
        return simplejpeg.decode_jpeg(data, colorspace=space)

    return each(images, change)
