"""The table of the models: the same columns as in the terminal, in a box that scrolls by itself."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from ..columns import Column, filled, groups
from ..markup import exact, listed, scroller

if TYPE_CHECKING:
    from ..rows import Row


def table(rows: Sequence[Row], pick: Row | None) -> str:
    """Columns without any figure are left out: a phone shows four at a time."""
    columns = filled(column for group in groups(rows) for column in group)
    head = "".join(
        f'<th scope="col"{_kind(column)}>{escape(column.title)}<small>{escape(column.unit)}</small></th>'
        for column in columns
    )
    lines = []
    for number, row in enumerate(rows):
        chosen = row is pick and len(rows) > 1
        cells = "".join(_cell(column, number, chosen and column.title == "name") for column in columns)
        lines.append(f"<tr{' class=pick' if chosen else ''}>{cells}</tr>")
    inside = f'<table class="rows"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'
    return scroller("Table of the models", inside)


def _kind(column: Column) -> str:
    if column.is_number:
        return ""
    kind = {"name": " name", "how trained": " how"}.get(column.title, "")
    return f' class="text{kind}"'


def _cell(column: Column, number: int, is_pick: bool) -> str:
    """An interval stands small beside its accuracy; the model to ship is named in words, not by its colour alone."""
    figure = column.values[number] if column.is_number and column.values else None
    value, bracket, interval = column.cells[number].partition(" [")
    inside = exact(figure if isinstance(figure, int | float) else None, value)
    inside += f" <small>[{escape(interval)}</small>" if bracket else ""
    mark = ' <span class="ship">ship</span>' if is_pick else ""
    return f"<td{_kind(column)}>{inside}{mark}</td>"


def notes(lines: Sequence[str]) -> str:
    return f'<div class="notes">{listed(lines)}</div>' if lines else ""
