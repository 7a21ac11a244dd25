"""Batches of pictures for training and measuring: from memory, from a cache on disk, or decoded when needed."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from .. import launch
from ..errors import UserError, suggest
from .cache import FORMAT, cache_folder, open_or_write, pack
from .chance import key, permutation
from .dataset import Data
from .geometry import RandomCrop
from .parts import Cut, Parts
from .sampling import balanced_order
from .stores import CachedSquares, MemoryPictures, PackedPictures, Pictures
from .stream import FilePictures

__all__ = ["Batch", "FilePictures", "Loader", "MemoryPictures", "Pictures", "pictures"]
SOURCES = ("auto", "memory", "cache", "stream")
CACHE_GB = 20.0
_MEMORY_SHARE = 0.25
log = logging.getLogger("strop")


class Batch(NamedTuple):
    """images: (B, C, S, S) uint8; targets: (B,) int64; indices: (B,) int64, the pictures' numbers in their split."""

    images: torch.Tensor
    targets: torch.Tensor
    indices: torch.Tensor


def pictures(
    data: Data,
    split: str,
    *,
    size: int,
    channels: int,
    memory_limit_bytes: int | None = None,
    source: str = "auto",
    crop: RandomCrop | None = None,
    cache_gb: float = CACHE_GB,
) -> Pictures:
    """The pictures of a split, cut and scaled by `fit_square`; with a crop, for training, by a random one each epoch.

    Args:
        data: from `open_data`.
        split: "train", "val" or "test".
        size: side in pixels, >= 1.
        channels: 1 grey, 3 RGB.
        memory_limit_bytes: up to this size everything is decoded now, into memory; default a quarter of the RAM
            over all processes of this machine.
        source: "memory", "cache" (decoded once into a file below $STROP_CACHE, or ~/.cache/strop), "stream" (decoded
            whenever asked for), or "auto": memory if they fit, else the cache if they fit there, else stream. The
            test split, which is looked at once, is not worth a cache.
        crop: a `RandomCrop`; a `Loader` that shuffles then uses `crops`.
        cache_gb: limit of the whole cache in 1e9 bytes; the files not used for longest make room.
    Raises:
        UserError: the split is empty, a picture can't be decoded (here, or later in `batch`), `source` is unknown.
    """
    if source not in SOURCES:
        raise UserError("data.source", f"'{source}' is not an option. {suggest(source, SOURCES)}")
    if split not in data.splits or not len(data.splits[split]):
        raise UserError(f"data '{data.source.name}'", f"it has no {split} pictures. {_how_to_get(split)}")
    stream = FilePictures(data, split, size, channels, crop)
    if source == "auto":
        limit = memory_limit_bytes
        if limit is None:  # each of the processes on a machine holds them all
            limit = _MEMORY_SHARE * _memory_bytes() / launch.local_processes()
        source = _choose(stream.stored_bytes(), limit, cache_gb * 1e9, worth_caching=split != "test")
    found: Pictures = stream
    if source != "stream":
        found = _keep_in_memory(stream) if source == "memory" else _keep_on_disk(stream, cache_gb)
    found.identify = partial(_name_pixels, stream)
    return found


def _choose(needed: int, memory_limit: float, cache_limit: float, *, worth_caching: bool) -> str:
    if needed <= memory_limit:
        return "memory"
    return "cache" if worth_caching and needed <= cache_limit else "stream"


def _keep_in_memory(stream: FilePictures) -> Pictures:
    if stream.crop is None:
        return stream.decode_all()
    packed = pack(stream.chunks(), stream.channels)
    return PackedPictures(packed, stream.labels, stream.size, stream.crop, "memory")


def _keep_on_disk(stream: FilePictures, cache_gb: float) -> Pictures:
    """From the cache; as they are, with a warning, where the disk does not let it be written."""
    folder, squares = cache_folder(), stream.crop is None
    channels = 1 if squares else stream.channels  # squares are stored as planes, one below the other
    try:
        packed = open_or_write(
            folder,
            _name_pixels(stream),
            n=len(stream),
            channels=channels,
            chunks=stream.chunks(),
            expected_bytes=stream.stored_bytes(),
            limit_bytes=cache_gb * 1e9,
        )
    except OSError as error:
        reason = error.strerror or error
        log.warning("%s: no cache (%s); decoding in every epoch. Change cache_gb or STROP_CACHE.", folder, reason)
        return stream
    if squares:
        return CachedSquares(packed, stream.labels, stream.size, stream.channels)
    return PackedPictures(packed, stream.labels, stream.size, stream.crop, "cache")


def _name_pixels(stream: FilePictures) -> str:
    """32 hex digits of all that the stored pixels depend on: pictures, their order, geometry, decoders' versions."""
    import cv2
    import PIL
    import simplejpeg

    data, split = stream.data, stream.split
    decoders = [cv2.__version__, PIL.__version__, simplejpeg.__version__]
    layout = "squares" if stream.crop is None else "whole"
    parts = [FORMAT, data.fingerprint, layout, stream.stored_side(), stream.channels, data.alpha, *decoders]
    digest = hashlib.blake2b(json.dumps(parts).encode(), digest_size=16)
    for name in data.names(split):
        digest.update(json.dumps(name).encode() + b"\n")
    return digest.hexdigest()


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

    Where more than a copy is to be done, a thread makes the next batch while the caller works on this one.

    Args:
        pictures: what to load; where they have a crop, it is used when shuffling.
        batch_size: >= 1.
        seed: of the order, the crop and the augmentation.
        augment: `augment(images, indices, seed, epoch)`, from `augment.compose`; not called without shuffle. With
            balanced sampling `epoch` is how often a picture was shown before: twice in an epoch, it looks different.
        shuffle: a new order each epoch; False gives 0..N-1, untouched.
        sampling: "uniform", each picture once an epoch, or "balanced", each class equally often (`balanced_order`).
        drop_last: leave out the last, smaller batch. Without it a last batch of one picture joins the batch
            before when shuffling: batch norm can't train on a single one.
        parts: how batches are cut; of each this process makes the shares that it holds. Random numbers stay those
            of the pictures.
    Raises:
        UserError: batch_size is out of range, or too small for the parts.
    """

    def __init__(
        self,
        pictures: Pictures,
        *,
        batch_size: int,
        seed: int,
        augment: Callable | None = None,
        shuffle: bool = True,
        sampling: str = "uniform",
        drop_last: bool = False,
        parts: Parts = Parts(),  # noqa: B008 (frozen)
    ):
        if batch_size < 1:
            raise UserError("batch_size", f"{batch_size} is too small. Write 1 or more.")
        if drop_last and batch_size > len(pictures):
            raise UserError("batch_size", f"{batch_size} is more than the {len(pictures)} pictures. Write less.")
        parts.check(batch_size)
        self.pictures, self.batch_size, self.seed, self.parts = pictures, batch_size, seed, parts
        self.augment = augment if shuffle else None
        self.shuffle, self.sampling = shuffle, sampling
        self._bounds = _cut(len(pictures), batch_size, drop_last, join_single=shuffle)

    def __len__(self) -> int:
        return len(self._bounds)

    def cut(self, i: int) -> Cut:
        """How batch i of an epoch is cut."""
        start, stop = self._bounds[i]
        return self.parts.cut(stop - start)

    def epoch(self, epoch: int, start: int = 0, every: int = 1) -> Iterator[Batch]:
        """Each `every`-th batch of epoch number `epoch` from batch `start` on; closing it ends its thread."""
        order, times = self._order(epoch)
        rows = [slice(a + i, a + j) for a, b in self._bounds[start::every] for i, j in [self.parts.rows(b - a)]]
        held, shown = [order[part] for part in rows], [times[part] for part in rows]
        for indices, its, images in zip(held, shown, self._fetch(held, shown), strict=True):
            if self.augment is not None:
                images = _each_time(its, partial(self._augment, images, indices))
            yield Batch(images, self.pictures.labels[indices], indices)

    def _fetch(self, parts: list[torch.Tensor], times: list[np.ndarray]) -> Iterator[torch.Tensor]:
        """The pictures of each batch. Decoding runs ahead in a thread; what is in memory is taken when it is due.

        No torch operation runs in that thread: it would bring a thread pool of its own, and two pools on the same
        cores were measured to slow the training step by a factor of 1.6. (OpenCV's threads stay out of it too: it
        starts them for results above 65,536 pixels only, and a second caller meanwhile works in its own thread.)
        """
        if self.pictures.in_memory or not parts:
            yield from map(self.pictures.batch, parts)
            return
        with ThreadPoolExecutor(1, "loader") as thread:
            ahead = thread.submit(self._make, parts[0], times[0])
            for indices, its in zip(parts[1:], times[1:], strict=True):
                ready = ahead.result()
                ahead = thread.submit(self._make, indices, its)
                yield ready
            yield ahead.result()

    def _make(self, indices: torch.Tensor, times: np.ndarray) -> torch.Tensor:
        if self.shuffle and self.pictures.crop is not None:
            return _each_time(times, partial(self._crop, indices))
        return self.pictures.batch(indices)

    def _crop(self, indices: torch.Tensor, rows: np.ndarray | slice, time: int) -> torch.Tensor:
        return self.pictures.crops(torch.from_numpy(indices.numpy()[rows]), self.seed, time)

    def _augment(self, images: torch.Tensor, indices: torch.Tensor, rows: np.ndarray | slice, time: int):
        return self.augment(images[rows], indices[rows], self.seed, time)

    def _order(self, epoch: int) -> tuple[torch.Tensor, np.ndarray]:
        """The pictures' numbers, and for each how often it was shown before: its crop and augmentation go by that."""
        n = len(self.pictures)
        if self.shuffle and self.sampling == "balanced":
            order, times = balanced_order(self.pictures.labels.numpy(), self.seed, epoch)
        else:
            order = permutation(n, key(self.seed, "order", epoch)) if self.shuffle else np.arange(n)
            times = np.full(n, epoch)
        return torch.from_numpy(order), times


def _each_time(times: np.ndarray, make: Callable[[np.ndarray | slice, int], torch.Tensor]) -> torch.Tensor:
    """A batch out of what `make(rows, time)` gives for the rows of each time. (No torch operation: see `_fetch`.)"""
    if len(times) == 0 or (times == times[0]).all():
        return make(slice(None), int(times[0]) if len(times) else 0)
    made = {time: make(np.flatnonzero(times == time), int(time)).numpy() for time in np.unique(times)}
    batch = np.empty((len(times), *made[times[0]].shape[1:]), dtype=np.uint8)
    for time, images in made.items():
        batch[times == time] = images
    return torch.from_numpy(batch)


def _cut(n: int, batch_size: int, drop_last: bool, join_single: bool) -> list[tuple[int, int]]:
    bounds = [(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]
    if drop_last and n % batch_size:
        return bounds[:-1]
    if join_single and len(bounds) > 1 and batch_size > 1 and bounds[-1][1] - bounds[-1][0] == 1:
        bounds[-2:] = [(bounds[-2][0], n)]
    return bounds
