"""Blurs: out of focus, frosted glass, motion, zoom."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, cos, radians, sin

import cv2
import numpy as np


def each(images: np.ndarray, change: Callable[..., np.ndarray], *others: np.ndarray) -> np.ndarray:
    """What a function of (H, W, C), and of a row of each of `others`, makes of each picture."""
    made = [change(*one).reshape(images.shape[1:]) for one in zip(images, *others, strict=True)]
    return np.stack(made)


def defocus(images: np.ndarray, c: tuple[float, float], draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """The mean over a disc of radius c0 pixels, whose rim is blurred with sd c1."""
    radius, smooth = c
    reach = max(8, ceil(radius))
    x = np.arange(-reach, reach + 1)
    disc = (x**2 + x[:, None] ** 2 <= radius**2).astype(np.float32)
    wide = 3 if radius <= 8 else 5
    kernel = _trimmed(cv2.GaussianBlur(disc / disc.sum(), (wide, wide), sigmaX=smooth))
    return each(images, lambda image: cv2.filter2D(image, -1, kernel))


def _trimmed(kernel: np.ndarray) -> np.ndarray:
    """Without the zeros around it: small kernels are much faster."""
    reach = kernel.shape[0] // 2
    used = int(np.abs(np.argwhere(kernel) - reach).max())
    return kernel[reach - used : reach + used + 1, reach - used : reach + used + 1]


def glass(images: np.ndarray, c: tuple[float, float, int], draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """Blurred with sd c0, c2 times each pixel taken from within c1 pixels of it, and blurred again.

    Unlike the original: all pixels move at once, not one after the other, where what moved may move again.
    """
    sd, reach, times = c[0], max(1, round(c[1])), int(c[2])
    n, height, width, channels = images.shape
    drawn = (4 * reach * reach * draw(times * height * width)).astype(np.int32).reshape(n, times, height, width)
    images = _gaussian_blur(images, sd)
    inside = np.zeros((height, width), bool)
    inside[reach + 1 : height - reach + 1, reach + 1 : width - reach + 1] = True
    here = np.arange(height * width, dtype=np.int32).reshape(height, width)
    for time in range(times):
        down, right = np.divmod(drawn[:, time], 2 * reach)
        there = np.where(inside, here + (down - reach) * width + right - reach, here)
        flat = images.reshape(n, height * width, channels)
        images = np.take_along_axis(flat, there.reshape(n, -1, 1), axis=1).reshape(images.shape)
    return _gaussian_blur(images, sd)


def _gaussian_blur(images: np.ndarray, sd: float) -> np.ndarray:
    wide = 2 * int(4 * sd + 0.5) + 1
    if wide == 1:
        return images
    return each(images, lambda one: cv2.GaussianBlur(one, (wide, wide), sd, borderType=cv2.BORDER_REPLICATE))


def motion(images: np.ndarray, c: tuple[float, float], draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """Smeared to one side, a bell of sd c1 that ends at 2 c0 pixels, at -45 to 45 degrees, drawn for each picture."""
    degrees = 90 * draw(1)[:, 0] - 45
    return each(images, lambda image, angle: smear(image, *c, angle), degrees)


def smear(image: np.ndarray, radius: float, sd: float, degrees: float) -> np.ndarray:
    """The mean over places i = 0, 1, ... along a direction, weighed by exp(-i**2 / (2 sd**2)); edges are continued.

    As ImageMagick's motion blur, which the original calls.
    """
    taps = np.arange(min(2 * ceil(radius), ceil(4 * sd)) + 1)
    weights = np.exp(-(taps**2) / (2 * sd**2))
    kernel = np.zeros((2 * len(taps) - 1, 2 * len(taps) - 1), np.float32)
    down = np.rint(taps * sin(radians(degrees))).astype(int)
    right = np.rint(taps * cos(radians(degrees))).astype(int)
    np.add.at(kernel, (len(taps) - 1 + down, len(taps) - 1 + right), weights / weights.sum())
    return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE)


def zoom(images: np.ndarray, c: tuple[float, float], draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """The mean of the picture and itself magnified by 1, 1 + c1, ... up to c0.

    Unlike the original: the magnified part is not rounded to whole pixels.
    """
    factors = np.arange(1, *c)

    def change(image: np.ndarray) -> np.ndarray:
        bright = image.astype(np.float32)
        total = bright.copy()
        for factor in factors:
            total += magnify(bright, factor).reshape(image.shape)
        return total / (255 * (len(factors) + 1))

    return each(images, change)


def magnify(image: np.ndarray, factor: float) -> np.ndarray:
    """The middle of a picture, as large as the whole."""
    height, width = image.shape[:2]
    matrix = np.array([[factor, 0, (1 - factor) * (width - 1) / 2], [0, factor, (1 - factor) * (height - 1) / 2]])
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
