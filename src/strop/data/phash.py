"""A 64-bit perceptual hash from the lowest cosines of a picture, and the search for near ones among many.

A copy that was re-encoded, resized or mirrored differs in few of the 64 bits; the search gives every pair within
a radius without comparing all pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import cv2
import numpy as np

BITS = 64
_LARGEST_SIDE, _COSINES = 64, 12
_AT_A_TIME = 2_000_000

# The 64 lowest frequencies but (0, 0), by distance from it. Dealt out in turn, so that each band of bits holds low
# and high ones: neighbours among them are correlated.
_FREQUENCIES = sorted(
    ((v, u) for v in range(_COSINES) for u in range(_COSINES) if v + u), key=lambda f: (f[0] ** 2 + f[1] ** 2, f)
)[:BITS]
_ROWS, _COLUMNS = np.array(_FREQUENCIES).T
_WEIGHTS = np.uint64(1) << np.arange(BITS, dtype=np.uint64)
MIRROR = np.bitwise_or.reduce(_WEIGHTS[_COLUMNS % 2 == 1])


def shrink(pixels: np.ndarray, side: int) -> np.ndarray:
    """The whole picture as side x side, its proportions given up; areas are averaged, enlarging is bilinear."""
    how = cv2.INTER_AREA if min(pixels.shape[:2]) >= side else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(pixels), (side, side), interpolation=how)


def spectrum_hash(luma: np.ndarray) -> np.uint64:
    """The signs of the 64 lowest cosines of a picture, its mean left out.

    bit k = 1 where DCT-II(luma)[v_k, u_k] > 0. A mirrored picture changes the sign of every odd u, so its hash is
    this one XOR `MIRROR`. The transform is taken at the picture's own size (sides above 64 are averaged down to
    64): enlarging or shrinking to a common size would change more bits of small pictures than re-encoding does.

    Source: the perceptual hash of the pHash library (Zauner, "Implementation and Benchmarking of Perceptual Image
        Hash Functions", 2010).
    Unlike: the median is not the threshold but 0, which keeps the mirror exact; frequencies in a quarter circle.

    Shape:
        luma: (H, W) uint8, H and W >= 1.
    """
    height, width = luma.shape
    if max(height, width) > _LARGEST_SIDE:
        size = (min(width, _LARGEST_SIDE), min(height, _LARGEST_SIDE))
        luma = cv2.resize(np.ascontiguousarray(luma), size, interpolation=cv2.INTER_AREA)
    height, width = luma.shape
    cosines = _waves(height) @ luma.astype(np.float32) @ _waves(width).T
    return np.bitwise_or.reduce(_WEIGHTS[cosines[_ROWS, _COLUMNS] > 0], initial=np.uint64(0))


@cache
def _waves(side: int) -> np.ndarray:
    """The lowest cosines of DCT-II over so many pixels, (12, side); zeros for those that a short side does not have."""
    k = np.arange(_COSINES)[:, None]
    waves = np.cos(np.pi / side * (np.arange(side) + 0.5) * k) * (k < side)
    return waves.astype(np.float32)


def band_masks(bands: int) -> list[np.ndarray]:
    """Positions of the bits of each band, dealt out in turn."""
    return [np.arange(band, BITS, bands) for band in range(bands)]


class NearSearch:
    """Finds pairs of hashes with at most `2 * bands - 1` different bits, as they are or one of them mirrored.

    Two hashes within that radius differ in at most one bit of at least one band, so looking up each band and each
    of its one-bit neighbours finds every such pair.

    Args:
        hashes: (N,) uint64.
        bands: 4 gives radius 7 at about 70 look-ups a hash with 65,536 drawers, 5 gives radius 9 with 8,192.
        most: pairs of drawer fellows that are compared in all; beyond it `stopped` is set and the search ends.

    Example:
        >>> search = NearSearch(np.array([0b1000, 0b1011, 2**63], np.uint64))
        >>> [(int(i), int(j)) for i, j, mirrored in search.pairs() for i, j in zip(i, j)][0]
        (0, 1)
    """

    def __init__(self, hashes: np.ndarray, *, bands: int = 4, most: int = 1_000_000_000):
        self.hashes, self.radius, self.most = hashes, 2 * bands - 1, most
        self.positions = band_masks(bands)
        self.compared, self.stopped = 0, False

    def pairs(self) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
        """Yield (i, j, mirrored) in chunks, i < j, each pair once for each value of mirrored."""
        tables = [self._table(positions) for positions in self.positions]
        # Exact bands first: should the search be stopped, the nearest pairs have been seen.
        for flips in (False, True):
            for band, (keys, order, offsets) in enumerate(tables):
                width = len(self.positions[band])
                for flip in [1 << bit for bit in range(width)] if flips else [0]:
                    for mirrored in (False, True):
                        change = flip ^ (int(_pick(MIRROR, self.positions[band])) if mirrored else 0)
                        for i, j in self._fellows(keys, order, offsets, change):
                            if self.stopped:
                                return
                            kept = self._keep(i, j, band, flips, mirrored)
                            if kept.any():
                                yield np.minimum(i, j)[kept], np.maximum(i, j)[kept], mirrored

    def _table(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Each hash's key in a band, the hashes sorted by key, and where each key begins among them."""
        keys = _pick(self.hashes, positions)
        order = np.argsort(keys, kind="stable")
        return keys, order, np.searchsorted(keys[order], np.arange((1 << len(positions)) + 1))

    def _fellows(self, keys, order, offsets, change: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pairs whose keys differ in exactly `change`, in chunks of bounded size, each from one side only."""
        other = keys ^ change
        asking = np.flatnonzero(other >= keys)
        lengths = (offsets[other[asking] + 1] - offsets[other[asking]]).astype(np.int64)
        ends = np.cumsum(lengths)
        begin = 0
        while begin < len(asking):
            done = ends[begin - 1] if begin else 0
            stop = max(int(np.searchsorted(ends, done + _AT_A_TIME, side="right")), begin + 1)
            counts = lengths[begin:stop]
            i = np.repeat(asking[begin:stop], counts)
            first = np.repeat(offsets[other[asking[begin:stop]]] - (ends[begin:stop] - counts - done), counts)
            j = order[first + np.arange(len(i))]
            if change == 0:
                one_way = i < j
                i, j = i[one_way], j[one_way]
            self.compared += len(i)
            self.stopped = self.compared > self.most
            yield i, j
            begin = stop

    def _keep(self, i: np.ndarray, j: np.ndarray, band: int, flips: bool, mirrored: bool) -> np.ndarray:
        """Pairs within the radius that no band has given before."""
        different = self.hashes[i] ^ self.hashes[j] ^ (MIRROR if mirrored else np.uint64(0))
        kept = (np.bitwise_count(different) <= self.radius) & (i != j)
        at = np.flatnonzero(kept)
        fresh = np.ones(len(at), dtype=bool)
        for other, positions in enumerate(self.positions):
            bits = np.bitwise_count(_pick(different[at], positions))
            if flips:  # exact matches in any band, and one-bit matches in earlier bands, came before
                fresh &= (bits > 1) | ((bits == 1) & (other >= band))
            elif other < band:
                fresh &= bits > 0
        kept[at[~fresh]] = False
        return kept


def _pick(hashes: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The bits at some positions, packed into small integers."""
    key = np.zeros(np.shape(hashes), dtype=np.int64)
    for place, position in enumerate(positions):
        key |= ((hashes >> np.uint64(position)) & np.uint64(1)).astype(np.int64) << place
    return key
