"""The fifteen common corruptions at five strengths, each a pure function of (seed, index of the picture)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ...data.chance import key, uniforms
from . import blur, digital, noise, weather
from .strengths import STRENGTHS, level, table_of

__all__ = ["CORRUPTIONS", "STRENGTHS", "corrupt", "table_of"]

CORRUPTIONS: dict[str, Callable] = {
    "gaussian noise": noise.gaussian,
    "shot noise": noise.shot,
    "impulse noise": noise.impulse,
    "defocus blur": blur.defocus,
    "glass blur": blur.glass,
    "motion blur": blur.motion,
    "zoom blur": blur.zoom,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": weather.brightness,
    "contrast": digital.contrast,
    "elastic": digital.elastic,
    "pixelate": digital.pixelate,
    "jpeg": digital.jpeg,
}
_AT_ONCE = 2_000_000  # values; what is drawn for them takes 8 bytes each


def corrupt(name: str, images: np.ndarray, indices: np.ndarray, strength: int, seed: int = 0) -> np.ndarray:
    """Corrupt pictures as one of `CORRUPTIONS` does; each function has its formula, `strengths.py` the tables.

    What is random is drawn for (seed, name, index): a picture gets the same noise in every batch, and its noise at a
    higher strength is the same one, stronger.

    Source: Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
    arXiv:1903.12261.
    Unlike theirs: the frost is drawn, not photographed (`weather.frost`); values are rounded, not cut; pictures stay in
    memory (ImageNet-C saves them as JPEG once more).

    Args:
        indices: (B,) integers: the pictures' numbers.
        strength: 1 to 5.
    Shape:
        images: (B, C, H, W) uint8, C of 1 or 3. Returns: the same.

    Example:
        >>> corrupt("fog", pictures, np.arange(len(pictures)), strength=3)
    """
    change, values = CORRUPTIONS[name], level(name, strength, min(images.shape[2:]))
    made, stream = np.empty_like(images), key(seed, name)
    some = max(1, _AT_ONCE // images[0].size)
    for start in range(0, len(images), some):
        part = slice(start, start + some)
        upright = np.ascontiguousarray(images[part].transpose(0, 2, 3, 1))
        found = change(upright, values, partial(uniforms, stream, indices[part]))
        if found.dtype != np.uint8:
            found = np.rint(255 * np.clip(found, 0, 1)).astype(np.uint8)
        made[part] = found.transpose(0, 3, 1, 2)
    return made
