"""Measure an exported file as it is used: on decoded pictures of any size, which its own graph cuts and scales."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.dataset import Data
from ..data.geometry import fit_square
from ..data.load import Batch
from ..data.stores import count_cores
from ..deploy.classify import classify_whole, to_channels_last
from ..deploy.runtime import OnnxModel

TOGETHER = 32


class WholePictures:
    """The pictures of a split in order, decoded whole: a loader whose `images` are lists of (H, W, 1 or 3) arrays."""

    def __init__(self, data: Data, split: str):
        self.data, self.split, self.labels = data, split, torch.from_numpy(data.labels(split))

    def __len__(self) -> int:
        return -(-len(self.labels) // TOGETHER)

    def epoch(self, epoch: int, start: int = 0, every: int = 1) -> Iterator[Batch]:
        with ThreadPoolExecutor(count_cores(), "decode") as pool:
            for first in range(start * TOGETHER, len(self.labels), every * TOGETHER):
                numbers = range(first, min(first + TOGETHER, len(self.labels)))
                images = list(pool.map(lambda i: self.data.pixels(self.split, i), numbers))
                yield Batch(images, self.labels[numbers.start : numbers.stop], torch.tensor(numbers))


Classify = Callable[[list[np.ndarray]], np.ndarray]


class Whole:
    """Something as `evaluate` calls it: whole pictures in, log-probabilities out.

    On the way it counts how often the class is that of another way to the same answer.

    Args:
        classify, otherwise: take pictures of (H, W, 1 or 3) and give probabilities (N, K).
    """

    def __init__(self, classify: Classify, otherwise: Classify):
        self.classify, self.otherwise = classify, otherwise
        self.n, self.same, self.difference = 0, 0, 0.0

    def __call__(self, pictures: list[np.ndarray]) -> Tensor:
        found, expected = self.classify(pictures), self.otherwise(pictures)
        self.n += len(pictures)
        self.same += int((found.argmax(1) == expected.argmax(1)).sum())
        self.difference = float(np.maximum(self.difference, np.abs(found - expected).max()))  # NaN stays NaN
        return log_probabilities(torch.from_numpy(found))

    @property
    def agreement(self) -> dict[str, Any]:
        """Pictures, those answered alike, and the largest difference of a probability."""
        return {"n": self.n, "same_class": self.same, "largest_difference": round(self.difference, 6)}


def answer_whole(session: Any) -> Callable[[list[np.ndarray]], Tensor]:
    """An exported file in any runtime as `evaluate` calls it: whole pictures in, log-probabilities out."""
    return lambda pictures: log_probabilities(torch.from_numpy(classify_whole(session, pictures)))


def whole_and_squares(session: OnnxModel) -> Whole:
    """An exported file on whole pictures, beside the squares that strop cuts and scales itself, which is what every
    model was measured on before."""
    return Whole(partial(classify_whole, session), partial(classify_cut, session, shape=session.shape))


def classify_cut(
    session: Callable[[np.ndarray], np.ndarray], pictures: list[np.ndarray], shape: tuple[int, int, int]
) -> np.ndarray:
    """Probabilities from an exported file, handed squares of the network's size, (C, S, S)."""
    channels, size, _ = shape
    return session(to_channels_last(np.stack([fit_square(picture, size, channels) for picture in pictures])))


def log_probabilities(probabilities: Tensor) -> Tensor:
    """What is 0 in float32 is taken for its smallest normal number, 1.2e-38: a picture costs at most 87.3 nats."""
    return probabilities.clamp_min(torch.finfo(torch.float32).tiny).log()
