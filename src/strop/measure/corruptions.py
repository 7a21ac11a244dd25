"""Common corruptions of pictures at five strengths, each a pure function of (seed, index of the picture)."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import simplejpeg
from scipy.stats import norm

from ..data.chance import key, uniforms

STRENGTHS = (1, 2, 3, 4, 5)
_SIDE = 224  # pixels that the published strengths of blur are for


def corrupt(name: str, images: np.ndarray, indices: np.ndarray, strength: int, seed: int = 0) -> np.ndarray:
    """Corrupt pictures as one of `CORRUPTIONS` does.

    x in [0, 1], c from the table of the corruption, n a standard normal number, u uniform, each of its own pixel:
    gaussian noise x + c n; shot noise x + sqrt(x / c) n; impulse noise: x < c / 2 black, x > 1 - c / 2 white by u;
    gaussian blur with sd c * side / 224 px; contrast (x - m) c + m, m the mean of the channel; brightness x + c;
    jpeg of quality c; pixelate: averaged to a side of c, and each value repeated. Results are cut to [0, 1].

    Source: Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
    arXiv:1903.12261, with the strengths of its code for ImageNet.
    Unlike theirs: eight of fifteen, the ones with a formula; shot noise is normal instead of Poisson; brightness is
    added to the channels, not to the value of HSV; blur is scaled with the picture, so small ones stay comparable;
    noise does not depend on order or batch.

    Args:
        indices: (B,) integers: the pictures' numbers.
        strength: 1 to 5.
    Shape:
        images: (B, C, H, W) uint8, C of 1 or 3. Returns: the same.
    """
    function, strengths = CORRUPTIONS[name]
    level = strengths[strength - 1]
    if function in _ON_BYTES:
        return function(images, level)
    chance = uniforms(key(seed, name), indices, images[0].size).reshape(images.shape) if function in _RANDOM else None
    x = function(images.astype(np.float32) / 255, level, chance)
    return np.rint(255 * np.clip(x, 0, 1)).astype(np.uint8)


def _gaussian_noise(x: np.ndarray, c: float, chance: np.ndarray) -> np.ndarray:
    return x + c * _normal(chance)


def _shot_noise(x: np.ndarray, c: float, chance: np.ndarray) -> np.ndarray:
    return x + np.sqrt(x / c) * _normal(chance)


def _impulse_noise(x: np.ndarray, c: float, chance: np.ndarray) -> np.ndarray:
    return np.where(chance < c / 2, 0.0, np.where(chance >= 1 - c / 2, 1.0, x))


def _contrast(x: np.ndarray, c: float, _: None) -> np.ndarray:
    mean = x.mean((2, 3), keepdims=True)
    return (x - mean) * c + mean


def _brightness(x: np.ndarray, c: float, _: None) -> np.ndarray:
    return x + c


def _normal(chance: np.ndarray) -> np.ndarray:
    return norm.ppf(np.maximum(chance, 2.0**-54)).astype(np.float32)


def _each(images: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Apply a function of (H, W, C) to each picture."""
    made = np.empty_like(images)
    for place, image in enumerate(images):
        changed = change(np.ascontiguousarray(image.transpose(1, 2, 0)))
        made[place] = changed.reshape(*image.shape[1:], -1).transpose(2, 0, 1)
    return made


def _gaussian_blur(images: np.ndarray, c: float) -> np.ndarray:
    sd = c * images.shape[-1] / _SIDE
    return _each(images, lambda image: cv2.GaussianBlur(image, (0, 0), sd, borderType=cv2.BORDER_REFLECT))


def _jpeg(images: np.ndarray, c: int) -> np.ndarray:
    space = "GRAY" if images.shape[1] == 1 else "RGB"

    def change(image: np.ndarray) -> np.ndarray:
        data = simplejpeg.encode_jpeg(
            image, quality=c, colorspace=space, colorsubsampling="420" if space == "RGB" else "Gray"
        )
        return simplejpeg.decode_jpeg(data, colorspace=space)

    return _each(images, change)


def _pixelate(images: np.ndarray, c: float) -> np.ndarray:
    height, width = images.shape[2:]
    small = max(1, round(c * width)), max(1, round(c * height))

    def change(image: np.ndarray) -> np.ndarray:
        shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)

    return _each(images, change)


CORRUPTIONS: dict[str, tuple[Callable, tuple]] = {
    "gaussian noise": (_gaussian_noise, (0.08, 0.12, 0.18, 0.26, 0.38)),
    "shot noise": (_shot_noise, (60, 25, 12, 5, 3)),
    "impulse noise": (_impulse_noise, (0.03, 0.06, 0.09, 0.17, 0.27)),
    "gaussian blur": (_gaussian_blur, (1, 2, 3, 4, 6)),
    "contrast": (_contrast, (0.4, 0.3, 0.2, 0.1, 0.05)),
    "brightness": (_brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "jpeg": (_jpeg, (25, 18, 15, 10, 7)),
    "pixelate": (_pixelate, (0.6, 0.5, 0.4, 0.3, 0.25)),
}
_ON_BYTES = {_gaussian_blur, _jpeg, _pixelate}
_RANDOM = {_gaussian_noise, _shot_noise, _impulse_noise}
