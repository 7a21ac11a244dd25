"""Weather: snow, frost, fog, bright light."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from scipy.special import ndtri

from .blur import magnify, smear

_ICE = np.array([0.86, 0.94, 1.0], np.float32)  # red, green, blue of frost
_SEEDS = 0.012  # of the pixels for each direction, where the film is thickest
_NEEDLE = 0.09  # of the side


def snow(images: np.ndarray, c: tuple[float, ...], draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """c6 x + (1 - c6) max(x, 1.5 grey + 0.5), which is pale, + flakes + flakes turned by 180 degrees.

    Flakes are normal noise of mean c0 and sd c1, magnified c2 times, 0 below c3, smeared (`blur.smear`) by c4 and c5
    at an angle between -135 and -45 degrees, drawn for each picture.
    """
    mean, sd, size, least, radius, smeared, kept = c
    height, width = images.shape[1:3]
    drawn = draw(1 + height * width)

    def fall(drawn: np.ndarray) -> np.ndarray:
        noise = mean + sd * ndtri(np.maximum(drawn[1:], 2.0**-54)).astype(np.float32).reshape(height, width)
        noise = magnify(noise, max(1.0, size))
        return smear(np.clip(noise, 0, 1) * (noise >= least), radius, smeared, 90 * drawn[0] - 135)

    flakes = np.stack([fall(one) for one in drawn])[..., None]
    x = images.astype(np.float32) / 255
    grey = x @ np.array([[0.299], [0.587], [0.114]], np.float32) if x.shape[3] == 3 else x
    pale = kept * x + (1 - kept) * np.maximum(x, 1.5 * grey + 0.5)
    return pale + flakes + flakes[:, ::-1, ::-1]


def frost(images: np.ndarray, c: tuple[float, float], draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """c0 x + c1 ice.

    Unlike the original: the ice is not one of five photographs but drawn: needles in three directions 60 degrees apart,
    dense where a plasma is high, on a film that is thick there, bluish white; 0.45 on average.
    """
    height, width = images.shape[1:3]
    side = _power_of_two(images)
    drawn = draw(1 + 2 * side * side)
    film, seeds = drawn[:, 1:].reshape(-1, 2, side, side).transpose(1, 0, 2, 3)
    film, seeds = plasma(2 * film - 1, 1.7)[:, :height, :width], seeds[:, :height, :width]
    length = _NEEDLE * min(height, width)

    def grow(film: np.ndarray, seeds: np.ndarray, first: float) -> np.ndarray:
        needles = np.zeros_like(film)
        for i in range(3):
            started = (np.abs(seeds - i / 3) < _SEEDS * film).astype(np.float32)
            np.maximum(needles, smear(started, length, length / 2, 60 * (first + i)), out=needles)
        needles = cv2.GaussianBlur(np.minimum(1, length * needles), (3, 3), 0.6)
        return 0.6 * film + (0.2 + 0.6 * film) * needles

    ice = np.stack([grow(*one) for one in zip(film, seeds, drawn[:, 0], strict=True)])[..., None]
    return c[0] * images.astype(np.float32) / 255 + c[1] * ice * (_ICE if images.shape[3] == 3 else 1)


def fog(images: np.ndarray, c: tuple[float, float], draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """(x + c0 p) m / (m + c0): p a plasma whose roughness decays by c1, m the brightest value of the picture."""
    thick, decay = c
    side = _power_of_two(images)
    clouds = plasma(2 * draw(side * side).reshape(-1, side, side) - 1, decay)
    x = images.astype(np.float32) / 255
    most = x.max((1, 2, 3), keepdims=True)
    return (x + thick * clouds[:, : images.shape[1], : images.shape[2], None]) * most / (most + thick)


def _power_of_two(images: np.ndarray) -> int:
    return 1 << (max(images.shape[1:3]) - 1).bit_length()


def plasma(noise: np.ndarray, decay: float) -> np.ndarray:
    """A rough surface from 0 to 1 by the diamond-square algorithm, whose left edge goes on at its right one.

    From coarse to fine, what lies between four known places is their mean and some noise, whose size falls by decay**2
    with each halving of the distance.

    Shape:
        noise: (B, N, N) in [-1, 1], N a power of two. Returns: the same.
    """
    surface = np.zeros(noise.shape, np.float32)
    noise = noise.astype(np.float32)
    step, size = noise.shape[1], np.float32(1)
    while step > 1:
        half = step // 2
        corners = surface[:, ::step, ::step]
        rows = corners + np.roll(corners, -1, 1)
        columns = corners + np.roll(corners, -1, 2)
        middles = (rows + np.roll(rows, -1, 2)) / 4 + size * noise[:, half::step, half::step]
        surface[:, half::step, half::step] = middles
        surface[:, ::step, half::step] = (columns + middles + np.roll(middles, 1, 1)) / 4 + size * noise[
            :, ::step, half::step
        ]
        surface[:, half::step, ::step] = (rows + middles + np.roll(middles, 1, 2)) / 4 + size * noise[
            :, half::step, ::step
        ]
        step, size = half, size / np.float32(decay) ** 2
    surface -= surface.min((1, 2), keepdims=True)
    return surface / surface.max((1, 2), keepdims=True)


def brightness(images: np.ndarray, c: float, draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """The value of HSV, the largest of the three channels, plus c; hue and saturation stay."""
    x = images.astype(np.float32) / 255
    value = x.max(3, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(value > 0, x * np.minimum(value + c, 1) / value, c)
