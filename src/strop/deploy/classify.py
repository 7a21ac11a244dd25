"""From decoded pictures of any size to probabilities, with an ONNX file and no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..data.geometry import fit_square
from .runtime import OnnxModel
from .settings import Settings

PIXELS_AT_ONCE = 4_000_000  # the graph holds a batch as float32, 12 bytes a pixel, about three times


def as_rgb(pixels: np.ndarray) -> np.ndarray:
    """Grey repeated. Shape: (H, W, 1 or 3) uint8; returns (H, W, 3)."""
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3)) if pixels.shape[2] == 1 else pixels


def to_channels_last(squares: np.ndarray) -> np.ndarray:
    """Squares as `fit_square` makes them, in the layout of an exported file.

    Shape: (B, 1 or 3, S, S) uint8; returns (B, S, S, 3).
    """
    return np.broadcast_to(squares.transpose(0, 2, 3, 1), (len(squares), *squares.shape[2:], 3))


def classify_whole(session: OnnxModel, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Probabilities from an exported file, whose graph cuts and scales; pictures of equal size go in together.

    Shape: pictures of (H, W, 1 or 3) uint8 each; returns (N, K) float32 in their order.
    """
    answers: list[np.ndarray | None] = [None] * len(pictures)
    for places in _alike(pictures):
        for place, row in zip(places, session(np.stack([as_rgb(pictures[i]) for i in places])), strict=True):
            answers[place] = row
    return np.stack(answers)


def _alike(pictures: Sequence[np.ndarray]) -> Iterator[list[int]]:
    """The places of pictures that have one size, as many together as memory should hold."""
    sizes: dict[tuple[int, ...], list[int]] = {}
    for place, picture in enumerate(pictures):
        sizes.setdefault(picture.shape[:2], []).append(place)
    for (height, width), places in sizes.items():
        together = max(1, PIXELS_AT_ONCE // max(1, height * width))
        yield from (places[start : start + together] for start in range(0, len(places), together))


def classify_squares(session: OnnxModel, pictures: Sequence[np.ndarray], settings: Settings) -> np.ndarray:
    """Probabilities from a bare network, such as a quantized run: cut, scaled and normalised here. Shape: as above."""
    squares = np.stack([fit_square(picture, settings.input_size, settings.channels) for picture in pictures])
    logits = session(normalize(squares, settings.mean, settings.std)).astype(np.float64)
    logits = (logits - logits.max(1, keepdims=True)) / settings.temperature
    return (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)


def normalize(images: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """(pixel / 255 - mean) / std, (B, C, H, W) uint8 to float32."""
    mean, std = (np.asarray(values, np.float32).reshape(1, -1, 1, 1) for values in (mean, std))
    return images.astype(np.float32) * (1 / (255 * std)) - mean / std
