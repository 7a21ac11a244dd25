"""Which models differ from the one to ship by more than chance, and which are not told apart from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import UserError
from ..measure.paired import ALIKE, METHOD
from .baseline import compare_with, sentence
from .numbers import names

if TYPE_CHECKING:
    from .rows import Row


def apart(pick: Row, pool: Sequence[Row]) -> list[str]:
    """Which rows differ from `pick` by more than chance: by a test on the same pictures, else by their intervals."""
    others = [row for row in pool if row is not pick]
    if not others:
        return []
    try:
        tested = [row for row in compare_with(pool, pick)[0] if row.against]
    except UserError:  # the row to ship has no predictions
        tested = []
    known = {row.id for row in tested}
    return _tested(pick, tested) + _by_intervals(pick, [row for row in others if row.id not in known])


def _tested(pick: Row, rows: Sequence[Row]) -> list[str]:
    alike = [row for row in rows if row.against.verdict == ALIKE]
    found = [f"{row.id} is {_figures(row, f' than {pick.id}: ')}." for row in rows if row not in alike]
    if alike:
        parts = [row.id + _figures(row, " ").removeprefix(ALIKE) for row in alike]
        found.append(f"Not told apart from {pick.id}: {names(parts)}.")
    return [*found, f"Tested on the same pictures by the {METHOD}."] if rows else []


def _figures(row: Row, between: str) -> str:
    """'better than student: +2.0 points [+0.5, +3.4], p = 0.042'"""
    word, _, figures = sentence(row.against).partition(" (")
    return word + between + (f"({figures}" if between == " " else figures.removesuffix(")"))


def _by_intervals(pick: Row, rows: Sequence[Row]) -> list[str]:
    """What the 95 % intervals alone say of rows without predictions."""
    if not rows:
        return []
    if pick.interval is None or any(row.interval is None for row in rows):
        return ["Some accuracies have no interval, so nothing is known about chance."]
    close = [row for row in rows if row.interval[0] <= pick.interval[1] and pick.interval[0] <= row.interval[1]]
    found = []
    for row in rows:
        if row not in close:
            word = "better" if row.accuracy > pick.accuracy else "worse"
            found.append(f"{row.id} is {word} than {pick.id}: their 95 % intervals do not overlap.")
    if close:
        found.append(
            f"The 95 % intervals of {pick.id} and of {names([row.id for row in close])} overlap: by them alone the "
            "order of these models may be chance. Predictions of both, which strop evaluate writes, tell more."
        )
    return found
