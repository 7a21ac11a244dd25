"""The pictures of one split as squares of one size, already decoded: in memory, or mapped from the cache."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from ..errors import UserError
from .cache import Packed
from .geometry import RandomCrop, fit_square, resize_smoothly, write_planes

_CHUNK = 64
_SHOWN = 5
_WORTH_THREADS = 1_000_000  # bytes of a batch; below that, starting threads costs more than they save


class Pictures(ABC):
    """The pictures of one split as squares of one size.

    Attributes:
        labels: (N,) int64.
        in_memory: whether `batch` only has to copy.
        crop: the random crop that `crops` makes, or None.
        kind: "memory", "cache" or "stream". Without a crop all three give the same pixels. With one, "memory" and
            "cache" do, and "stream" cuts the same boxes, up to rounding, out of the pictures at full resolution.
    """

    labels: torch.Tensor
    in_memory = False
    crop: RandomCrop | None = None
    kind = "memory"

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        """The pictures with these numbers. Shape: indices (B,) int64; returns (B, C, size, size) uint8, a copy."""

    def identify(self) -> str:
        """Hex digits of all that the pixels depend on; `data.load.pictures` says which."""
        raise ValueError("these pictures were not opened from a data set")

    def crops(self, indices: torch.Tensor, seed: int, epoch: int) -> torch.Tensor:
        """A random crop of each picture, a function of (seed, epoch, its number). Shape: as `batch`.

        Raises:
            UserError: they were opened without a crop.
        """
        raise UserError("crop", "these pictures were opened without one. Give pictures(..., crop=RandomCrop()).")


class MemoryPictures(Pictures):
    """All pictures decoded, in one tensor (N, C, S, S)."""

    in_memory = True

    def __init__(self, images: torch.Tensor, labels: torch.Tensor):
        self.images, self.labels = images, labels

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        return self.images.index_select(0, indices)


class CachedSquares(Pictures):
    """The same, mapped from a file: (N, C, S, S) without a torch operation, so that a thread can read ahead."""

    kind = "cache"

    def __init__(self, packed: Packed, labels: torch.Tensor, size: int, channels: int):
        if (packed.table[:, 1:] != (channels * size, size)).any():
            raise ValueError("the cached pictures are not the squares that were asked for")
        self.labels = labels
        self._squares = packed.flat[: len(packed) * channels * size**2].reshape(-1, channels, size, size)

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        images = torch.empty((len(indices), *self._squares.shape[1:]), dtype=torch.uint8)
        numbers = indices.numpy()
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self):
            raise IndexError(f"picture numbers are 0 to {len(self) - 1}")
        np.take(self._squares, numbers, axis=0, out=images.numpy(), mode="clip")  # "raise" would copy twice
        return images


class PackedPictures(Pictures):
    """Whole pictures, scaled down to a little more than a crop needs; each epoch cuts other boxes out of them.

    `batch` gives the centre square. It was scaled twice: to measure a model, open the pictures without a crop.
    """

    def __init__(self, packed: Packed, labels: torch.Tensor, size: int, crop: RandomCrop, kind: str):
        self.packed, self.labels, self.size, self.crop, self.kind = packed, labels, size, crop, kind
        self._shapes = packed.table[:, 1:]

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        numbers = indices.tolist()

        def fill(rows: np.ndarray, start: int, stop: int) -> list[str]:
            for row in range(start, stop):
                rows[row] = fit_square(self.packed[numbers[row]], self.size, self.packed.channels)
            return []

        return self._fill(len(numbers), fill)

    def crops(self, indices: torch.Tensor, seed: int, epoch: int) -> torch.Tensor:
        numbers = indices.numpy()
        boxes = self.crop.place(self.crop.draw(seed, epoch, numbers), self._shapes[numbers])
        numbers = numbers.tolist()

        def fill(rows: np.ndarray, start: int, stop: int) -> list[str]:
            for row in range(start, stop):
                box, mirrored = boxes[row]
                part = resize_smoothly(box.cut(self.packed[numbers[row]]), self.size, self.size)
                write_planes(part, rows[row], mirrored)
            return []

        return self._fill(len(numbers), fill)

    def _fill(self, n: int, fill: Callable[[np.ndarray, int, int], list[str]]) -> torch.Tensor:
        shape = (n, self.packed.channels, self.size, self.size)
        threads = count_cores() if math.prod(shape) >= _WORTH_THREADS else 1
        return fill_rows(shape, fill, threads=threads, where="data")


def fill_rows(
    shape: tuple[int, int, int, int], fill: Callable[[np.ndarray, int, int], list[str]], *, threads: int, where: str
) -> torch.Tensor:
    """Make squares with a few threads. Every thread writes its own rows, so it does not matter which is first.

    Args:
        shape: (n, channels, size, size) of the result, uint8.
        fill: `fill(rows, start, stop)` writes rows start .. stop - 1, and returns what is wrong with those that it
            can't make.
        threads: >= 1.
        where: what a message begins with.
    Raises:
        UserError: with everything that was wrong, or the first of it.
    """
    images = torch.empty(shape, dtype=torch.uint8)
    rows, n = images.numpy(), shape[0]
    # At least one chunk a thread, but not many tiny ones: a picture of 28 x 28 takes microseconds.
    step = min(_CHUNK, max(1, math.ceil(n / threads)))
    starts = range(0, n, step)
    if threads == 1 or len(starts) < 2:
        broken = [text for start in starts for text in fill(rows, start, min(start + step, n))]
    else:
        with ThreadPoolExecutor(threads, "decode") as pool:
            work = pool.map(lambda start: fill(rows, start, min(start + step, n)), starts)
            broken = [text for texts in work for text in texts]
    raise_broken(where, broken)
    return images


def raise_broken(where: str, broken: list[str]) -> None:
    """One error for pictures that can't be decoded; nothing where there are none."""
    if broken:
        more = [f"... and {len(broken) - _SHOWN} more"] if len(broken) > _SHOWN else []
        raise UserError(where, *broken[:_SHOWN], *more)


def count_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
