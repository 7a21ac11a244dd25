"""Batches of pictures for training and measuring: decoded once where memory allows, else when needed."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch

from ..errors import UserError
from .chance import key, permutation
from .dataset import Data
from .geometry import fit_square

_MEMORY_SHARE = 0.25
_CHUNK = 64
_SHOWN = 5


class Batch(NamedTuple):
    """images: (B, C, S, S) uint8; targets: (B,) int64; indices: (B,) int64, the pictures' numbers in their split."""

    images: torch.Tensor
    targets: torch.Tensor
    indices: torch.Tensor


class Pictures(ABC):
    """The pictures of one split as squares of one size.

    Attributes:
        labels: (N,) int64.
        in_memory: whether `batch` only has to copy.
    """

    labels: torch.Tensor
    in_memory = False

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        """The pictures with these numbers. Shape: indices (B,) int64; returns (B, C, size, size) uint8, a copy."""


class MemoryPictures(Pictures):
    """All pictures decoded, in one tensor (N, C, S, S)."""

    in_memory = True

    def __init__(self, images: torch.Tensor, labels: torch.Tensor):
        self.images, self.labels = images, labels

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        return self.images.index_select(0, indices)


class FilePictures(Pictures):
    """Pictures decoded by a few threads each time they are asked for; holds one batch at a time."""

    def __init__(self, data: Data, split: str, size: int, channels: int):
        self.data, self.split, self.size, self.channels = data, split, size, channels
        self.labels = torch.from_numpy(data.labels(split))
        self._threads = os.cpu_count() or 1

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        return self._decode(indices.tolist())

    def decode_all(self) -> MemoryPictures:
        """The same pictures, kept in memory."""
        return MemoryPictures(self._decode(range(len(self))), self.labels)

    def _decode(self, numbers: list[int] | range) -> torch.Tensor:
        """Every thread writes into its own rows, so the result does not depend on which thread is first."""
        images = torch.empty((len(numbers), self.channels, self.size, self.size), dtype=torch.uint8)
        rows = images.numpy()
        # At least one chunk a thread, but not many tiny ones: a picture of 28 x 28 takes microseconds.
        step = min(_CHUNK, max(1, math.ceil(len(numbers) / self._threads)))

        def fill(start: int) -> list[str]:
            broken = []
            for row in range(start, min(start + step, len(numbers))):
                try:
                    pixels = self.data.pixels(self.split, numbers[row])
                    rows[row] = fit_square(pixels, self.size, self.channels)
                except UserError as error:
                    broken.append(str(error))
            return broken

        with ThreadPoolExecutor(self._threads, "decode") as pool:
            broken = [text for texts in pool.map(fill, range(0, len(numbers), step)) for text in texts]
        if broken:
            more = [f"... and {len(broken) - _SHOWN} more"] if len(broken) > _SHOWN else []
            raise UserError(f"data '{self.data.source.name}', {self.split}", *broken[:_SHOWN], *more)
        return images


def pictures(data: Data, split: str, *, size: int, channels: int, memory_limit_bytes: int | None = None) -> Pictures:
    """The pictures of a split, cut and scaled by `fit_square`.

    Args:
        data: from `open_data`.
        split: "train", "val" or "test".
        size: side in pixels, >= 1.
        channels: 1 grey, 3 RGB.
        memory_limit_bytes: up to this size (N * C * size**2) everything is decoded now; default a quarter of the RAM.
    Raises:
        UserError: the split is empty, or a picture can't be decoded (here, or later in `batch`).
    """
    if not data.splits.get(split):
        raise UserError(f"data '{data.source.name}'", f"it has no {split} pictures. {_how_to_get(split)}")
    lazy = FilePictures(data, split, size, channels)
    limit = _MEMORY_SHARE * _memory_bytes() if memory_limit_bytes is None else memory_limit_bytes
    return lazy.decode_all() if len(lazy) * channels * size**2 <= limit else lazy


def _how_to_get(split: str) -> str:
    return "Write validation: 5% to put some of train aside." if split == "val" else f"Add a {split}/ folder."


def _memory_bytes() -> float:
    """The machine's memory, or what its container may use."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        text = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return physical
    return min(physical, int(text)) if text.isdigit() else physical


class Loader:
    """Batches of an epoch, each a pure function of (seed, epoch, place in the epoch).

    Where pictures are decoded on demand, a thread decodes the next batch while the caller works on this one.

    Args:
        pictures: what to load.
        batch_size: >= 1.
        seed: of the order and of the augmentation.
        augment: `augment(images, indices, seed, epoch)`, from `augment.compose`; not called without shuffle.
        shuffle: a new order each epoch; False gives 0..N-1, untouched.
        drop_last: leave out the last, smaller batch. Without it a last batch of one picture joins the batch
            before when shuffling: batch norm can't train on a single one.
    Raises:
        UserError: batch_size is out of range.
    """

    def __init__(
        self,
        pictures: Pictures,
        *,
        batch_size: int,
        seed: int,
        augment: Callable | None = None,
        shuffle: bool = True,
        drop_last: bool = False,
    ):
        if batch_size < 1:
            raise UserError("batch_size", f"{batch_size} is too small. Write 1 or more.")
        if drop_last and batch_size > len(pictures):
            raise UserError("batch_size", f"{batch_size} is more than the {len(pictures)} pictures. Write less.")
        self.pictures, self.batch_size, self.seed = pictures, batch_size, seed
        self.augment = augment if shuffle else None
        self.shuffle = shuffle
        self._bounds = _cut(len(pictures), batch_size, drop_last, join_single=shuffle)

    def __len__(self) -> int:
        return len(self._bounds)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch number `epoch` from batch `start` on; closing the iterator ends its thread."""
        order = self._order(epoch)
        parts = [order[slice(*bound)] for bound in self._bounds[start:]]
        for indices, images in zip(parts, self._fetch(parts), strict=True):
            if self.augment is not None:
                images = self.augment(images, indices, self.seed, epoch)
            yield Batch(images, self.pictures.labels[indices], indices)

    def _fetch(self, parts: list[torch.Tensor]) -> Iterator[torch.Tensor]:
        """The pictures of each batch. Decoding runs ahead in a thread; what is in memory is taken when it is due.

        No torch operation runs in that thread: it would bring a thread pool of its own, and two pools on the same
        cores were measured to slow the training step by a factor of 1.6.
        """
        if self.pictures.in_memory or not parts:
            yield from map(self.pictures.batch, parts)
            return
        with ThreadPoolExecutor(1, "loader") as thread:
            ahead = thread.submit(self.pictures.batch, parts[0])
            for indices in parts[1:]:
                ready = ahead.result()
                ahead = thread.submit(self.pictures.batch, indices)
                yield ready
            yield ahead.result()

    def _order(self, epoch: int) -> torch.Tensor:
        n = len(self.pictures)
        return torch.from_numpy(permutation(n, key(self.seed, "order", epoch))) if self.shuffle else torch.arange(n)


def _cut(n: int, batch_size: int, drop_last: bool, join_single: bool) -> list[tuple[int, int]]:
    bounds = [(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]
    if drop_last and n % batch_size:
        return bounds[:-1]
    if join_single and len(bounds) > 1 and batch_size > 1 and bounds[-1][1] - bounds[-1][0] == 1:
        bounds[-2:] = [(bounds[-2][0], n)]
    return bounds
