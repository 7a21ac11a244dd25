"""Look at every picture once: read it, hash it, shrink it to what the comparisons need."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image

from ..data.formats import HEAD_BYTES, explain_no_picture
from ..data.hashes import HASH_BYTES
from ..data.picture import MAX_FILE_BYTES
from ..errors import UserError
from .collection import Collection
from .phash import shrink, spectrum_hash

SIDE, CHROMA_SIDE = 16, 4
_CHUNK = 64
_BLANK = 3


@dataclass
class Looks:
    """What was seen of N pictures, as packed arrays: some 650 bytes a picture, 80 in quick mode.

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
        n, full = self.n, 0 if self.quick else self.n
        self.content = np.zeros(n, dtype=f"V{HASH_BYTES}")
        self.pixels = self.content if self.quick else np.zeros(n, dtype=f"V{HASH_BYTES}")
        self.size = np.zeros((n, 2), dtype=np.int32)
        self.grey = np.zeros(n, dtype=bool)
        self.single, self.blank = np.zeros(full, dtype=bool), np.zeros(full, dtype=bool)
        self.hash = np.zeros(full, dtype=np.uint64)
        self.luma = np.zeros((full, SIDE, SIDE), dtype=np.uint8)
        self.chroma = np.zeros((full, CHROMA_SIDE, CHROMA_SIDE, 2), dtype=np.uint8)

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


def look_at_all(
    collection: Collection, *, quick: bool, threads: int, progress: Callable[[int, int], None] | None = None
) -> Looks:
    """Look at every picture; a broken one is written down and never stops the others.

    Args:
        quick: read headers and hash files, decode nothing.
        threads: how many read and decode at a time; each holds one decoded picture (50 million pixels at most).
        progress: called with (pictures done, pictures in all) now and then.
    """
    looks = Looks(len(collection), quick)
    starts = range(0, len(collection), _CHUNK)

    def look_at_chunk(start: int) -> int:
        stop = min(start + _CHUNK, len(collection))
        for i in range(start, stop):
            _look_at(collection, looks, i)
        return stop - start

    done = 0
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # they are refused by name below
        warnings.simplefilter("ignore", UserWarning)  # Pillow's remarks on broken EXIF blocks and palettes
        for count in pool.map(look_at_chunk, starts):
            done += count
            if progress is not None:
                progress(done, len(collection))
    return looks


def _look_at(collection: Collection, looks: Looks, i: int) -> None:
    try:
        with collection.open(i) or nullcontext() as file:
            fault = file and check_file(file)
        if fault:
            looks.broken[i] = fault
            return
        content = collection.content(i)
        if looks.quick:
            height, width, channels = collection.shape(i)
            looks.size[i], looks.grey[i] = (height, width), channels == 1
        else:
            _describe(collection.pixels(i), looks, i)
        looks.content[i] = np.void(bytes.fromhex(content))
    except (UserError, OSError) as error:
        looks.broken[i] = _name_fault(error)


def check_file(file: BinaryIO) -> tuple[str, str] | None:
    """(kind, reason) for bytes that must not be decoded as a picture; None for what may be tried."""
    head = file.read(HEAD_BYTES)
    size = file.seek(0, os.SEEK_END)
    if size > MAX_FILE_BYTES:
        return "too-large", f"{size:,} bytes are more than the {MAX_FILE_BYTES:,} that are read"
    if not head:
        return "empty-file", "0 bytes"
    reason = explain_no_picture(head)
    return ("not-a-picture", reason) if reason else None


def _name_fault(error: UserError | OSError) -> tuple[str, str]:
    """The kind of finding that an error in reading is."""
    if isinstance(error, OSError):
        return "unreadable", error.strerror or str(error)
    reason, cause = error.problems[0], error.__cause__
    if reason.startswith("can't be read"):
        return "unreadable", reason
    if isinstance(cause, Image.DecompressionBombError) or (cause is None and "pixels are more than" in reason):
        return "too-large", reason
    if "truncated" in reason.lower():
        return "truncated", reason
    return "corrupt", reason


def _describe(pixels: np.ndarray, looks: Looks, i: int) -> None:
    height, width, channels = pixels.shape
    digest = hashlib.blake2b(f"{height} {width} {channels} ".encode(), digest_size=HASH_BYTES)
    digest.update(np.ascontiguousarray(pixels).data)
    looks.pixels[i] = np.void(digest.digest())
    looks.size[i] = height, width
    grey = channels == 1 or _all_equal(pixels)
    luma = pixels[:, :, 0] if grey else cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    looks.grey[i] = grey
    looks.blank[i] = int(luma.max()) - int(luma.min()) <= _BLANK
    looks.hash[i] = spectrum_hash(luma)
    looks.luma[i] = shrink(luma, SIDE)
    small = None if grey else shrink(pixels, CHROMA_SIDE)
    looks.chroma[i] = 128 if grey else cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb)[:, :, 1:]
    if not grey:
        spread = pixels.reshape(-1, 3).max(0).astype(int) - pixels.reshape(-1, 3).min(0)
        looks.single[i] = (spread > _BLANK).sum() == 1
        looks.blank[i] = (spread <= _BLANK).all()


def _all_equal(pixels: np.ndarray) -> bool:
    """Whether the three channels are the same; most colour pictures are told by a few pixels."""
    few = pixels[::16, ::16]
    if (few[..., :1] != few).any():
        return False
    return bool((pixels[..., :1] == pixels).all())
