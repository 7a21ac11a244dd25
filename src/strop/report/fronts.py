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


def fronts(rows: Sequence[Row]) -> list[Front]:
    """A front for each cost that at least two rows have, of those that were measured on the pictures that most were."""
    measured = [(i, row, pictures(row.measured)) for i, row in enumerate(rows) if row.measured]
    shared = Counter(key for *_, key in measured).most_common(1)
    found = []
    for cost in COSTS:
        points = [(i, price) for i, row, key in measured if key == shared[0][0] and (price := cost.read(row))]
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
