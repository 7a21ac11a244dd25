"""The pictures of one split, decoded from their files each time they are asked for."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import torch

from ..errors import UserError
from .cache import Chunk
from .dataset import Data
from .geometry import Box, RandomCrop, fit_square, resize_smoothly, to_grey, write_planes
from .jpeg import Jpeg, open_jpeg
from .stores import MemoryPictures, Pictures, count_cores, fill_rows, raise_broken

_CHUNK, _TOGETHER, _SAMPLE = 64, 8, 64
_ROOM_AROUND_CROP = 8 / 7  # short side 256 for crops of 224, the usual ratio
_LONGEST = 4  # a stored picture has at most the area of so many squares, however long and thin it is


class FilePictures(Pictures):
    """Pictures decoded by a few threads each time they are asked for; holds one batch at a time."""

    kind = "stream"

    def __init__(self, data: Data, split: str, size: int, channels: int, crop: RandomCrop | None = None):
        self.data, self.split, self.size, self.channels, self.crop = data, split, size, channels, crop
        self.labels = torch.from_numpy(data.labels(split))
        self._where = f"data '{data.source.name}', {split}"

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        return self._decode(indices.tolist())

    def crops(self, indices: torch.Tensor, seed: int, epoch: int) -> torch.Tensor:
        if self.crop is None:
            return super().crops(indices, seed, epoch)
        numbers, chances = indices.tolist(), self.crop.draw(seed, epoch, indices.numpy())

        def fill(rows: np.ndarray, start: int, stop: int) -> list[str]:
            broken = []
            for first in range(start, stop, _TOGETHER):
                some = range(first, min(first + _TOGETHER, stop))
                broken += self._crop(rows, some, [numbers[row] for row in some], chances)
            return broken

        return self._fill(len(numbers), fill)

    def decode_all(self) -> MemoryPictures:
        """The same squares, kept in memory."""
        return MemoryPictures(self._decode(range(len(self))), self.labels)

    def _decode(self, numbers: list[int] | range) -> torch.Tensor:
        def fill(rows: np.ndarray, start: int, stop: int) -> list[str]:
            broken = []
            for row in range(start, stop):
                try:
                    rows[row] = self._square(numbers[row])
                except UserError as error:
                    broken.append(str(error))
            return broken

        return self._fill(len(numbers), fill)

    def _fill(self, n: int, fill: Callable[[np.ndarray, int, int], list[str]]) -> torch.Tensor:
        shape = (n, self.channels, self.size, self.size)
        return fill_rows(shape, fill, threads=count_cores(), where=self._where)

    def _square(self, i: int) -> np.ndarray:
        return fit_square(self.data.pixels(self.split, i), self.size, self.channels)

    def _crop(self, rows: np.ndarray, some: range, numbers: list[int], chances: np.ndarray) -> list[str]:
        """A few pictures together, because placing a box alone costs as much as placing eight."""
        jpegs = [self._open(i) for i in numbers]
        shapes = [jpeg.shape if jpeg else (1, 1) for jpeg in jpegs]
        places = self.crop.place(chances[some.start : some.stop], shapes) if any(jpegs) else [(None, False)] * len(some)
        broken = []
        for row, i, jpeg, (box, mirrored) in zip(some, numbers, jpegs, places, strict=True):
            pixels = jpeg.decode(box, self.size, self.channels) if jpeg else None
            try:
                if pixels is None:
                    whole = self.data.pixels(self.split, i)
                    [(box, mirrored)] = self.crop.place(chances[row : row + 1], [whole.shape[:2]])
                    pixels = box.cut(whole)
            except UserError as error:
                broken.append(str(error))
                continue
            if pixels.shape[2] > self.channels:
                pixels = to_grey(pixels)
            write_planes(resize_smoothly(pixels, self.size, self.size), rows[row], mirrored)
        return broken

    def _open(self, i: int) -> Jpeg | None:
        try:
            with self.data.open(self.split, i) or nullcontext() as file:
                return file and open_jpeg(file)
        except OSError:
            return None  # it is read the other way, which names the picture and the reason

    def chunks(self) -> Iterator[Chunk]:
        """All pictures in order, as a store keeps them: squares, or with a crop whole pictures scaled down.

        Raises:
            UserError: at the end, with the pictures that can't be decoded.
        """
        starts = deque(range(0, len(self), _CHUNK))
        threads, broken = count_cores(), []
        with ThreadPoolExecutor(threads, "decode") as pool:
            ahead: deque = deque()
            while starts or ahead:
                while starts and len(ahead) < 2 * threads:  # no more, or a slow disk would fill the memory
                    ahead.append(pool.submit(self._chunk, starts.popleft()))
                chunk, texts = ahead.popleft().result()
                broken += texts
                if not broken:
                    yield chunk
        raise_broken(self._where, broken)

    def _chunk(self, start: int) -> tuple[Chunk | None, list[str]]:
        made, broken = [], []
        for i in range(start, min(start + _CHUNK, len(self))):
            try:
                made.append(self._whole(i) if self.crop else self._square(i).reshape(-1, self.size))
            except UserError as error:
                broken.append(str(error))
        if broken:
            return None, broken
        shapes = np.array([pixels.shape[:2] for pixels in made], np.int64)
        return Chunk(np.concatenate([pixels.reshape(-1) for pixels in made]), shapes), []

    def _whole(self, i: int) -> np.ndarray:
        """The picture, scaled down to what crops of it need, in the channels that are asked for."""
        side = self.stored_side()
        jpeg, pixels = self._open(i), None
        if jpeg:
            shape = jpeg.shape
            pixels = jpeg.decode(Box(0, 0, *shape), side, self.channels)
        if pixels is None:
            pixels = self.data.pixels(self.split, i)
            shape = pixels.shape[:2]
        if pixels.shape[2] > self.channels:
            pixels = to_grey(pixels)
        scaled = resize_smoothly(pixels, *scale_down(shape, side))
        return scaled if scaled.shape[2] == self.channels else np.repeat(scaled, self.channels, axis=2)

    def stored_side(self) -> int:
        """The shorter side of a stored picture, unless it is smaller itself."""
        return math.ceil(self.size * _ROOM_AROUND_CROP) if self.crop else self.size

    def stored_bytes(self) -> int:
        """What all pictures take when stored: exactly without a crop, else from the headers of up to 64 of them."""
        if not self.crop:
            return len(self) * self.channels * self.size**2
        areas, n = [], min(len(self), _SAMPLE)
        for at in range(n):
            part, index = self.data.splits[self.split][at * len(self) // n]
            try:
                shape = self.data.source.splits[part].shape(int(index))[:2]
            except UserError:
                continue  # found and named when it is decoded
            areas.append(math.prod(scale_down(shape, self.stored_side())))
        each = sum(areas) / len(areas) if areas else _LONGEST * self.stored_side() ** 2
        return math.ceil(len(self) * self.channels * each)


def scale_down(shape: tuple[int, int], side: int) -> tuple[int, int]:
    """Height and width with the shorter side at `side` and at most `4 * side**2` pixels; never enlarged."""
    height, width = shape
    most = _LONGEST * side**2
    scale = min(1.0, side / min(height, width), math.sqrt(most / (height * width)))
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    short = min(height, width)  # 1 for a line, whose length is then cut to what is allowed
    return min(height, most // short), min(width, most // short)
