"""Randomness as pure functions: the same arguments give the same numbers on every machine and version.

numpy's generators may change their streams between versions, and a running generator makes a number depend
on what was drawn before it. Here every number is a hash of what it is for.
"""

from __future__ import annotations

import hashlib
import json
import operator

import numpy as np

_STEP = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, the increment of splitmix64
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def key(*parts: str | int | float | bool | None) -> int:
    """Name a stream of random numbers: blake2b of the parts' JSON text, cut to 63 bits.

    Raises:
        TypeError: a part is not a string, number, bool or None.

    Example:
        >>> key(0, "order", 3) == key(0, "order", 3), key(0, "order", 3) == key(0, "order", 4)
        (True, False)
    """
    text = json.dumps([_plain(part) for part in parts], separators=(",", ":"))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def uniforms(key: int, indices: np.ndarray, n: int) -> np.ndarray:
    """Draw n numbers for each index; a row depends on (key, index) only, never on its neighbours.

    u = splitmix64(splitmix64(splitmix64(key) + index) + column) / 2**64, cut to 53 bits.

    Args:
        key: the stream, from `key(...)`.
        indices: (B,) integers, e.g. the numbers of the pictures in a batch.
        n: how many numbers each index gets.
    Shape:
        Returns: (B, n) float64 in [0, 1).
    """
    return (_hash(key, indices, n) >> np.uint64(11)) * 2.0**-53


def permutation(n: int, key: int) -> np.ndarray:
    """Shuffle 0..n-1: the stable argsort of n hashed counters. Returns (n,) int64."""
    return np.argsort(_hash(key, np.arange(n), 1)[:, 0], kind="stable").astype(np.int64)


def _hash(key: int, indices: np.ndarray, n: int) -> np.ndarray:
    stream = _splitmix(np.array([key], dtype=np.uint64))
    rows = _splitmix(stream + np.asarray(indices).astype(np.uint64))
    return _splitmix(rows[:, None] + np.arange(n, dtype=np.uint64))


def _splitmix(x: np.ndarray) -> np.ndarray:
    """The output function of splitmix64, on arrays (uint64 arrays wrap around without a warning)."""
    x = x + _STEP
    x = (x ^ (x >> np.uint64(30))) * _MIX1
    x = (x ^ (x >> np.uint64(27))) * _MIX2
    return x ^ (x >> np.uint64(31))


def _plain(part):
    if part is None or isinstance(part, str | bool | float):
        return part
    return operator.index(part)
