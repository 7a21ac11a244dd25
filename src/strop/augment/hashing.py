"""A random number for each pixel, hashed from one seed for each picture.

Drawing every pixel from `chance` would take longer than the training step; two draws give a seed, and 32-bit whole
numbers do the rest, so the result is the same on every processor.
"""

from __future__ import annotations

import torch

_MULTIPLY1, _MULTIPLY2 = 0x7FEB352D, 0x846CA68B - (1 << 32)
_SHIFTS = (16, 15, 16)
# The sum of four bytes: mean 4 * 127.5, variance 4 * (256**2 - 1) / 12.
_MEAN, _DEVIATION = 510.0, 21845.0**0.5


def seeds(u: torch.Tensor) -> torch.Tensor:
    """Make 32 bits of two uniforms of 24 bits. Shape: (B, 2) in [0, 1). Returns: (B,) int32."""
    whole = (u * 2**24).long()
    return ((whole[:, 0] << 8 | whole[:, 1] >> 16) - (1 << 31)).to(torch.int32)


def hash_pixels(seeds: torch.Tensor, n: int) -> torch.Tensor:
    """mix(mix(0..n-1) xor seed): even over all 32 bits.

    Shape:
        seeds: (B,) int32. Returns: (B, n) int32.
    """
    counters = mix(torch.arange(n, dtype=torch.int32, device=seeds.device))
    return mix(counters ^ seeds[:, None])


def mix(numbers: torch.Tensor) -> torch.Tensor:
    """Scatter whole numbers over 32 bits, each to another one; changes and returns `numbers`, int32.

    x ^= x >> 16; x *= 0x7feb352d; x ^= x >> 15; x *= 0x846ca68b; x ^= x >> 16, modulo 2**32.

    Source: Wellons, "Prospecting for Hash Functions", 2018 ("lowbias32").
    """
    shifted = torch.empty_like(numbers)
    for shift, factor in zip(_SHIFTS, (_MULTIPLY1, _MULTIPLY2, None), strict=True):
        torch.bitwise_right_shift(numbers, shift, out=shifted)
        shifted.bitwise_and_((1 << (32 - shift)) - 1)  # the shift of signed numbers drags their sign along
        numbers.bitwise_xor_(shifted)
        if factor is not None:
            numbers.mul_(factor)
    return numbers


def bell_curve(numbers: torch.Tensor) -> torch.Tensor:
    """Almost normal numbers, mean 0, variance 1: the sum of the four bytes of each; at most 3.45 from 0.

    Shape:
        numbers: int32, changed here. Returns: float32 of the same shape.
    """
    pairs = (numbers >> 8).bitwise_and_(0x00FF00FF)
    pairs.add_(numbers.bitwise_and_(0x00FF00FF))
    sums = (pairs >> 16).add_(pairs.bitwise_and_(0xFFFF))
    return sums.float().sub_(_MEAN).div_(_DEVIATION)
