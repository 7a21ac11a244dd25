"""What is kept of a decoded picture to tell its copies: a hash, a thumbnail, its size and colours. No torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import cv2
import numpy as np

from .hashes import HASH_BYTES
from .phash import shrink, spectrum_hash

SIDE, CHROMA_SIDE = 16, 4
VERSION = 1  # another one forgets what was remembered; to raise where `describe` or the search gives something else
_BLANK = 3
LOOK = np.dtype(
    [
        ("pixels", f"V{HASH_BYTES}"),
        ("hash", "<u8"),
        ("size", "<i4", 2),
        ("luma", "u1", (SIDE, SIDE)),
        ("chroma", "u1", (CHROMA_SIDE, CHROMA_SIDE, 2)),
        ("grey", "?"),
        ("single", "?"),
        ("blank", "?"),
    ]
)


@dataclass
class Looks:
    """What was seen of N pictures, as packed arrays: some 340 bytes a picture, 30 in quick mode.

    Attributes:
        broken: number of a picture to (kind of finding, reason); all else is zero for it.
        content: (N,) 16-byte hash of the file, or of the pixels where there is no file.
        pixels: (N,) 16-byte hash of shape and upright pixels; equal to `content` in quick mode.
        size: (N, 2) height and width in pixels.
        grey: (N,) True where all channels are equal.
        single: (N,) True where one of three colour channels varies and the others are constant.
        blank: (N,) True where the picture shows one flat colour.
        hash: (N,) uint64 perceptual hash.
        luma: (N, 16, 16) uint8, the picture in grey; chroma: (N, 4, 4, 2) uint8, Cb and Cr.
    """

    n: int
    quick: bool
    broken: dict[int, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self):
        n = self.n
        self.rows = np.zeros(0 if self.quick else n, LOOK)
        self.content = np.zeros(n, dtype=f"V{HASH_BYTES}")
        if self.quick:
            self.pixels, self.size, self.grey = self.content, np.zeros((n, 2), np.int32), np.zeros(n, bool)
        else:
            self.pixels, self.size, self.grey = (self.rows[name] for name in ("pixels", "size", "grey"))
        self.single, self.blank, self.hash = (self.rows[name] for name in ("single", "blank", "hash"))
        self.luma, self.chroma = self.rows["luma"], self.rows["chroma"]

    def take(self, places: np.ndarray) -> Looks:
        """Those at some places, all of them readable; not in quick mode."""
        made = Looks(len(places), quick=False)
        made.rows[:], made.content[:] = self.rows[places], self.content[places]
        return made

    @property
    def readable(self) -> np.ndarray:
        """(N,) False for broken pictures."""
        fine = np.ones(self.n, dtype=bool)
        fine[list(self.broken)] = False
        return fine

    @property
    def measured(self) -> np.ndarray:
        """(N,) False for broken pictures and for those of which nothing but the hash was looked at."""
        return self.readable & self.size.all(1)


def describe(pixels: np.ndarray) -> np.ndarray:
    """The look of one picture. Shape: pixels (H, W, 1 or 3) uint8; returns () of LOOK."""
    made = np.zeros((), LOOK)
    height, width, channels = pixels.shape
    digest = hashlib.blake2b(f"{height} {width} {channels} ".encode(), digest_size=HASH_BYTES)
    digest.update(np.ascontiguousarray(pixels).data)
    made["pixels"] = np.void(digest.digest())
    made["size"] = height, width
    grey = channels == 1 or _all_equal(pixels)
    luma = pixels[:, :, 0] if grey else cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    made["grey"] = grey
    made["blank"] = int(luma.max()) - int(luma.min()) <= _BLANK
    made["hash"] = spectrum_hash(luma)
    made["luma"] = shrink(luma, SIDE)
    made["chroma"] = 128
    if not grey:
        made["chroma"] = cv2.cvtColor(shrink(pixels, CHROMA_SIDE), cv2.COLOR_RGB2YCrCb)[:, :, 1:]
        spread = pixels.reshape(-1, 3).max(0).astype(int) - pixels.reshape(-1, 3).min(0)
        made["single"] = (spread > _BLANK).sum() == 1
        made["blank"] = (spread <= _BLANK).all()
    return made


def _all_equal(pixels: np.ndarray) -> bool:
    """Whether the three channels are the same; most colour pictures are told by a few pixels."""
    few = pixels[::16, ::16]
    if (few[..., :1] != few).any():
        return False
    return bool((pixels[..., :1] == pixels).all())
