"""Which pictures of a split have a copy among the training pictures, exact or near. No torch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .dataset import Data
from .examine import look_at_split
from .look import Looks
from .near import group_near
from .source import Split

MOST = 100_000


class Copies(NamedTuple):
    """Which pictures of a split are copies of training pictures.

    Attributes:
        exact: (N,) bool, equal in content (the file, or the pixels where there is no file).
        near: (N,) bool, re-encoded, resized or mirrored, and not exact; None where it was not searched.
    """

    exact: np.ndarray
    near: np.ndarray | None

    @property
    def any(self) -> np.ndarray:
        return self.exact if self.near is None else self.exact | self.near


def find_copies(training: Data, data: Data, split: str, *, most: int = MOST) -> Copies:
    """Copies of the pictures that `training` trains on among those of a split of `data`.

    Args:
        most: training pictures and those of the split together, up to which near copies are searched; the search is
            that of the audit (`near.find_pairs`), and remembered for the same pictures.
    """
    before, after = _Side(training, "train"), _Side(data, split)
    exact = np.isin(_whole(after.hashes), _whole(before.hashes))
    if len(before) + len(after) > most:
        return Copies(exact, None)
    both, hashes = _Both(before, after), np.concatenate([before.hashes, after.hashes])
    family = group_near(both, hashes, both.look, f"{training.source.name} {data.source.name}")
    here, there = family[len(before) :], family[: len(before)]
    return Copies(exact, np.isin(here, there[there >= 0]) & (here >= 0) & ~exact)


class _Side:
    """The pictures of one split of `Data`."""

    def __init__(self, data: Data, split: str):
        chosen = data.splits[split]
        self.part: Split = data.source.splits[chosen.part]
        self.all_hashes, self.indices = data.hashes[chosen.part], chosen.indices
        self.hashes = self.all_hashes[self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def look(self) -> np.ndarray:
        return look_at_split(self.part, self.all_hashes)[0].rows[self.indices]


class _Both:
    """Two sides as one row of pictures, as far as the search for copies needs it."""

    def __init__(self, before: _Side, after: _Side):
        self.sides = before, after
        self.root = getattr(before.part, "root", None)

    def pixels(self, i: int) -> np.ndarray:
        before, after = self.sides
        side, i = (before, i) if i < len(before) else (after, i - len(before))
        return side.part.pixels(int(side.indices[i]))

    def look(self) -> Looks:
        rows = [side.look() for side in self.sides]
        looks = Looks(sum(map(len, rows)), quick=False)
        looks.rows[:] = np.concatenate(rows)
        return looks


def _whole(hashes: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(hashes).view(f"V{hashes.shape[1]}")[:, 0]
