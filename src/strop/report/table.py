"""The table of rows for the terminal, whatever its width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .columns import Column, build, groups

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from .rows import Row

ONE_TABLE = 140
"""From this width on, model and measurements stand in one table."""
SHORTEST = 12
"""Texts are folded to no less than this."""
NOTES = 16
"""Of more notes than this the first and the last, which explains the fronts, are shown."""


def table(rows: Sequence[Row], notes: Sequence[str] = (), columns: Sequence[Column] | None = None) -> Layout:
    """The rows for a terminal: one table where it fits, stacked ones in a narrow terminal, then the notes.

    Example:
        >>> from rich.console import Console
        >>> Console(width=80).print(table(rows, notes))
    """
    return Layout(rows, notes, columns)


@dataclass(frozen=True)
class Layout:
    """What rich prints; it is laid out only when the width of the console is known."""

    rows: Sequence[Row]
    notes: Sequence[str]
    columns: Sequence[Column] | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        for number, columns in enumerate(self._tables(options.max_width)):
            if number:
                yield Text()
            yield draw(columns, options.max_width)
        for number, text in enumerate(_fewer(self.notes)):
            yield note(text, first=number == 0)

    def _tables(self, width: int) -> list[list[Column]]:
        if self.columns is not None:
            return _stacked(self.columns, self.rows, width)
        key, *rest = groups(self.rows)
        if width >= ONE_TABLE and _narrowest([*key, *(c for group in rest for c in group)]) <= width:
            return [[*key, *(column for group in rest for column in group)]]
        return [[*key, *group] for group in rest]


def _stacked(columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[list[Column]]:
    """As many tables as the width asks for; each begins with what names a row."""
    key = [column for column in columns if column.name in ("#", "name", "model")] or [build("#", rows)]
    tables = [[column for column in columns if column in key]]
    for column in columns:
        if column in key:
            continue
        if len(tables[-1]) > len(key) and _narrowest([*tables[-1], column]) > width:
            tables.append(list(key))
        tables[-1].append(column)
    return tables


def _narrowest(columns: Sequence[Column]) -> int:
    """How far the table can be squeezed without breaking a number."""
    widths = [_column_width(c) if c.is_number else min(SHORTEST, _column_width(c)) for c in columns]
    return sum(widths) + len(widths) - 1


def _fewer(notes: Sequence[str]) -> list[str]:
    """Of hundreds of runs each may have something to say; the formats for machines have all of it."""
    if len(notes) <= NOTES:
        return list(notes)
    left = f"{len(notes) - NOTES} more notes like these: --format json and markdown have all."
    return [*notes[: NOTES - 1], left, notes[-1]]


def note(text: str, *, first: bool):
    """A line below a table, folded."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row(Text("*"), Text(text, overflow="fold"))
    return Padding(line, (1 if first else 0, 0, 0, 0))


def draw(columns: Sequence[Column], width: int):
    """Columns as rich prints them in `width` characters; long texts are folded, numbers never."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    gap = 2 if _natural_width(columns, 2) <= width else 1
    limits = _limits(columns, width, gap)
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0))
    for column, limit in zip(columns, limits, strict=True):
        title = Text("\n".join(_title_lines(column)))
        drawn.add_column(
            title,
            justify="right" if column.is_number else "left",
            width=limit,
            no_wrap=True,
            vertical="top",
            overflow="fold",
        )
    for cells in zip(*(column.cells for column in columns), strict=True):
        drawn.add_row(*(Text(_fold(cell, limit)) for cell, limit in zip(cells, limits, strict=True)))
    return drawn


def _title_lines(column: Column) -> list[str]:
    """One word a line where the cells are narrow, so that narrow numbers get narrow columns; then the unit."""
    from rich.cells import cell_len

    if not column.is_number:
        return [column.title]
    words = column.title.split()
    width = max(cell_len(text) for text in (*words, *column.cells))
    lines = words[:1]
    for word in [*words[1:], column.unit] if len(words) > 1 else []:
        if cell_len(f"{lines[-1]} {word}") <= width:
            lines[-1] = f"{lines[-1]} {word}".rstrip()
        else:
            lines.append(word)
    return [*lines, column.unit] if len(words) == 1 and column.unit else lines


def _column_width(column: Column) -> int:
    from rich.cells import cell_len

    return max(cell_len(text) for text in (*_title_lines(column), *column.cells))


def _natural_width(columns: Sequence[Column], gap: int) -> int:
    return sum(_column_width(column) for column in columns) + gap * (len(columns) - 1)


def _limits(columns: Sequence[Column], width: int, gap: int) -> list[int]:
    """Widths of the columns; where they don't fit, the widest text column gives way first, to no less than 12."""
    limits = [_column_width(column) for column in columns]
    texts = [i for i, column in enumerate(columns) if not column.is_number]
    while sum(limits) + gap * (len(columns) - 1) > width:
        widest = max(texts, key=lambda i: limits[i])
        if limits[widest] <= SHORTEST:
            break
        limits[widest] -= 1
    return limits


def _fold(text: str, limit: int) -> str:
    """Break at ' + ' first, then at '-', '_', '.', '/' of a name, and only then anywhere."""
    from rich.cells import cell_len, chop_cells

    lines, line = [], ""
    for piece in _pieces(text):
        if line and cell_len((line + piece).rstrip()) > limit:
            lines.append(line.rstrip())
            line = ""
        *full, line = chop_cells(line + piece, limit) if cell_len((line + piece).rstrip()) > limit else [line + piece]
        lines += full
    return "\n".join([*lines, line.rstrip()])


def _pieces(text: str) -> list[str]:
    """The parts between which a line may break."""
    if " + " in text:
        first, *rest = text.split(" + ")
        return [first + " ", *(f"+ {part} " for part in rest)]
    pieces = [""]
    for letter in text:
        pieces[-1] += letter
        if letter in "-_./ ":
            pieces.append("")
    return [piece for piece in pieces if piece]
