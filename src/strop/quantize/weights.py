"""Weights of 8, 6, 4 and 3 bits: scales for each output channel, and four bits in the file."""

from __future__ import annotations

import numpy as np

BITS = {"int8": 8, "w6": 6, "w4": 4, "w3": 3}
FLOAT = 32


def channel_scales(weights: np.ndarray, axis: int, bits: int) -> np.ndarray:
    """s_c = max |w_c| / (2^(bits - 1) - 1), symmetric, without the lowest level; 1 for a channel of zeros.

    Args:
        axis: of the output channels.
        bits: 2 to 8.
    Shape:
        weights: any. Returns: (C,) float32.
    """
    rows = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1)
    scales = (np.abs(rows).max(1) / (2 ** (bits - 1) - 1)).astype(np.float32)
    # Below the smallest normal number a scale is no scale: w / s would overflow.
    return np.where(scales < np.finfo(np.float32).tiny, np.float32(1), scales)


def stored_bits(bits: int) -> int:
    """What the file takes for a weight: ONNX knows 4 and 8 bits; 3 are stored in 4, and 6 in 8."""
    return 4 if bits <= 4 else 8 if bits <= 8 else FLOAT


def pack_int4(integers: np.ndarray) -> bytes:
    """Two to a byte, the first in the low half, as ONNX stores INT4; an odd end is filled with 0.

    >>> pack_int4(np.array([1, -1, 7], np.int8)).hex()
    'f107'
    """
    flat = integers.astype(np.int8).ravel()
    if flat.size and (flat.min() < -8 or flat.max() > 7):
        raise ValueError(f"{flat.min()} to {flat.max()} does not fit into 4 bits")
    flat = np.append(flat, np.int8(0)) if flat.size % 2 else flat
    return ((flat[0::2] & 15) | ((flat[1::2] & 15) << 4)).astype(np.uint8).tobytes()


def unpack_int4(packed: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """The int8 array that `pack_int4` was given."""
    halves = np.frombuffer(packed, np.uint8)
    flat = np.stack([halves & 15, halves >> 4], 1).ravel()[: int(np.prod(shape))].astype(np.int8)
    return np.where(flat > 7, flat - 16, flat).astype(np.int8).reshape(shape)
