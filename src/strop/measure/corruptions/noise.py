"""Noise, each pixel by itself: 256 values and 4,096 equally likely draws make a table of what comes out."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.stats import norm, poisson

_DRAWS = 4096
_QUANTILES = (np.arange(_DRAWS) + 0.5) / _DRAWS
_GREYS = np.arange(256)[:, None] / 255


def gaussian(images: np.ndarray, c: float, draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """x + c n, n a standard normal number for each value."""
    return _look_up(images, _gaussian(c), draw)


def shot(images: np.ndarray, c: float, draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """k / c, k a Poisson number of mean c x: as if c photons made white."""
    return _look_up(images, _shot(c), draw)


def impulse(images: np.ndarray, c: float, draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """A share c / 2 of the values black, as many white."""
    return _look_up(images, _impulse(c), draw)


def _look_up(images: np.ndarray, table: np.ndarray, draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """Each value's row of the table, and the column that was drawn for it."""
    drawn = (_DRAWS * draw(images[0].size)).astype(np.int32).reshape(images.shape)
    return table.ravel()[_DRAWS * images.astype(np.int32) + drawn]


@lru_cache(5)
def _gaussian(c: float) -> np.ndarray:
    return _bytes(_GREYS + c * norm.ppf(_QUANTILES))


@lru_cache(5)
def _shot(c: float) -> np.ndarray:
    counts = np.arange(int(c + 10 * np.sqrt(c) + 10))
    return _bytes(np.stack([np.searchsorted(poisson.cdf(counts, c * grey), _QUANTILES) / c for grey in _GREYS[:, 0]]))


@lru_cache(5)
def _impulse(c: float) -> np.ndarray:
    return _bytes(np.where(c / 2 > _QUANTILES, 0.0, np.where(1 - c / 2 < _QUANTILES, 1.0, _GREYS)))


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)
