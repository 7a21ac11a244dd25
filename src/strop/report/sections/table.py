"""The table of the models: the same columns as in the terminal, in a box that scrolls by itself."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from ..columns import Column, filled, groups
from ..fronts import comparable
from ..markup import exact, listed, scroller

if TYPE_CHECKING:
    from ..rows import Row


SHIP = ' <span class="ship">ship</span>'
"""Named in words, not by its colour alone."""
APART = " <small>on other pictures</small>"
"""An accuracy that can't be set beside those above and below it."""


def table(rows: Sequence[Row], pick: Row | None) -> str:
    """Columns without any figure are left out: a phone shows four at a time."""
    columns = filled(column for group in groups(rows) for column in group)
    head = "".join(
        f'<th scope="col"{_kind(column)}>{escape(column.title)}<small>{escape(column.unit)}</small></th>'
        for column in columns
    )
    lines, ranked = [], comparable(rows)
    for number, row in enumerate(rows):
        chosen = row is pick and len(rows) > 1
        apart = row.measured is not None and number not in ranked
        marks = {"name": SHIP if chosen else "", "accuracy": APART if apart else ""}
        cells = "".join(_cell(column, number, marks.get(column.name, "")) for column in columns)
        lines.append(f"<tr{' class=pick' if chosen else ''}>{cells}</tr>")
    inside = f'<table class="rows"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'
    return scroller("Table of the models", inside)


def _kind(column: Column) -> str:
    if column.is_number:
        return ""
    kind = {"name": " name", "how trained": " how"}.get(column.title, "")
    return f' class="text{kind}"'


def _cell(column: Column, number: int, mark: str) -> str:
    """An interval stands small beside its accuracy; `mark` is HTML behind what the cell shows."""
    figure = column.values[number] if column.is_number and column.values else None
    value, bracket, interval = column.cells[number].partition(" [")
    inside = exact(figure if isinstance(figure, int | float) else None, value)
    inside += f" <small>[{escape(interval)}</small>" if bracket else ""
    return f"<td{_kind(column)}>{inside}{mark}</td>"


def notes(lines: Sequence[str]) -> str:
    return f'<div class="notes">{listed(lines)}</div>' if lines else ""
