"""Pareto fronts: the rows that no other row beats in both cost and accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .measurements import pictures
from .numbers import DASH, pareto

if TYPE_CHECKING:
    from .rows import Row


class Cost(NamedTuple):
    """What accuracy is paid with."""

    letter: str
    title: str
    unit: str
    read: Callable[[Row], float | None]


COSTS = (
    Cost("s", "size, MB", "MB", lambda row: row.bytes / 1e6),
    Cost("t", "latency p50 at batch 1, ms", "ms", lambda row: row.p50),
)
LEGEND = "front: no row here is at least as accurate and smaller (s), or at least as accurate and faster (t)."


class Front(NamedTuple):
    """Points as (index of the row, cost), and which of them are on the front, in order of cost."""

    cost: Cost
    points: list[tuple[int, float]]
    front: list[int]


def comparable(rows: Sequence[Row]) -> list[int]:
    """Indices of the rows that were measured on the pictures that most were."""
    keys = [pictures(row.measured) if row.measured else None for row in rows]
    shared = Counter(key for key in keys if key is not None).most_common(1)
    return [i for i, key in enumerate(keys) if shared and key == shared[0][0]]


def fronts(rows: Sequence[Row]) -> list[Front]:
    """A front for each cost that at least two rows have, of those that were measured on the pictures that most were."""
    ranked = comparable(rows)
    found = []
    for cost in COSTS:
        points = [(i, price) for i in ranked if (price := cost.read(rows[i]))]
        if len(points) > 1:
            found.append(Front(cost, points, pareto([(price, rows[i].accuracy) for i, price in points])))
    return found


def marks(rows: Sequence[Row]) -> list[str]:
    """For each row the letters of the fronts that it is on: "s", "t", "s t" or "-"."""
    letters: list[list[str]] = [[] for _ in rows]
    for front in fronts(rows):
        for i in front.front:
            letters[front.points[i][0]].append(front.cost.letter)
    return [" ".join(found) or DASH for found in letters]
