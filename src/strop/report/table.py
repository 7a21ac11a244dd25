"""The table of rows: for the terminal, and as Markdown, CSV and JSON."""

from __future__ import annotations

import io
from collections.abc import Sequence
from csv import DictWriter
from dataclasses import dataclass
from json import dumps
from typing import TYPE_CHECKING, Any

from .numbers import DASH, decimals_for, percent, significant, size

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from .rows import Row

ONE_TABLE = 140
"""From this width on, model and measurements stand in one table."""


@dataclass(frozen=True)
class Column:
    """One column: its title, its unit, its cells; numbers stand right."""

    title: str
    unit: str
    cells: list[str]
    is_number: bool = True

    @property
    def heading(self) -> str:
        return f"{self.title} {self.unit}".strip()


def split_of(rows: Sequence[Row]) -> str:
    """The split that all rows were measured on; empty where they differ."""
    splits = {row.measured["split"] for row in rows if row.measured}
    return splits.pop() if len(splits) == 1 else ""


def how(row: Row) -> str:
    """How the model was made: 'L2 + distilled + pruned'."""
    return " + ".join(row.trained) or DASH


def key_columns(rows: Sequence[Row]) -> list[Column]:
    return [
        Column("#", "", [str(n) for n in range(1, len(rows) + 1)]),
        Column("name", "", [row.id for row in rows], is_number=False),
    ]


def model_columns(rows: Sequence[Row]) -> list[Column]:
    """What the model is."""

    def scaled(values, unit: float) -> list[str]:
        return [significant(None if value is None else value / unit) for value in values]

    return [
        Column("how trained", "", [how(row) for row in rows], is_number=False),
        Column("input", "", [size(row.input_size) for row in rows]),
        Column("params", "M", scaled((row.parameters for row in rows), 1e6)),
        Column("MACs", "G", scaled((row.macs for row in rows), 1e9)),
        Column("size", "MB", scaled((row.bytes for row in rows), 1e6)),
    ]


def measured_columns(rows: Sequence[Row]) -> list[Column]:
    """What was measured on it; the accuracy's title names the split."""
    digits = decimals_for(max((row.figure("n") or 0 for row in rows), default=0))

    def shares(name: str) -> list[str]:
        return [percent(row.figure(name), digits) for row in rows]

    return [
        Column(f"{split_of(rows)} accuracy".strip(), "% [95 %]", [_accuracy(row, digits) for row in rows]),
        Column("macro prec.", "%", shares("macro_precision")),
        Column("macro recall", "%", shares("macro_recall")),
        Column("macro F1", "%", shares("macro_f1")),
        Column("latency p50", "ms", [significant(row.p50) for row in rows]),
        Column("latency p95", "ms", [significant(row.p95) for row in rows]),
        Column("images/s", f"batch {_batch(rows)}", [significant(row.images_per_second) for row in rows]),
    ]


def _accuracy(row: Row, digits: int) -> str:
    text = percent(row.accuracy, digits)
    if row.interval is None:
        return text
    return f"{text} [{percent(row.interval[0], digits)}, {percent(row.interval[1], digits)}]"


def _batch(rows: Sequence[Row]) -> str:
    batches = {row.latency["images_per_second"].get("batch") for row in rows if row.images_per_second is not None}
    return str(batches.pop()) if len(batches) == 1 else "64"


def table(rows: Sequence[Row], notes: Sequence[str] = ()) -> Layout:
    """The rows for a terminal: one table from 140 columns on, two stacked ones below, then the notes.

    Example:
        >>> from rich.console import Console
        >>> Console(width=80).print(table(rows, notes))
    """
    return Layout(rows, notes)


@dataclass(frozen=True)
class Layout:
    """What rich prints; it is laid out only when the width of the console is known."""

    rows: Sequence[Row]
    notes: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        key, model, measured = key_columns(self.rows), model_columns(self.rows), measured_columns(self.rows)
        if options.max_width >= ONE_TABLE:
            yield draw([*key, *model, *measured], options.max_width)
        else:
            yield draw([*key, *model], options.max_width)
            yield Text()
            yield draw([*key, *measured], options.max_width)
        for number, text in enumerate(self.notes):
            yield note(text, first=number == 0)


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
        if limits[widest] <= 12:
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


def record(row: Row) -> dict[str, Any]:
    """A row as plain figures in base units, the keys of CSV and JSON."""
    low, high = row.interval or (None, None)
    measured = row.measured or {}
    return {
        "id": row.id,
        "model": row.model,
        "trained": list(row.trained),
        "input_size": list(row.input_size),
        "parameters": row.parameters,
        "macs": row.macs,
        "bytes": row.bytes,
        "file": row.file,
        "hash": row.hash,
        "split": measured.get("split"),
        "n": measured.get("n"),
        "accuracy": row.accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "macro_precision": row.figure("macro_precision"),
        "macro_recall": row.figure("macro_recall"),
        "macro_f1": row.figure("macro_f1"),
        "latency_ms_p50": row.p50,
        "latency_ms_p95": row.p95,
        "images_per_second": row.images_per_second,
        "parents": {role: parent["id"] for role, parent in row.parents.items()},
    }


def markdown(rows: Sequence[Row], notes: Sequence[str] = ()) -> str:
    """The table as GitHub Markdown, in the units of the screen."""
    columns = key_columns(rows) + model_columns(rows) + measured_columns(rows)
    lines = [
        [_escape(column.heading) for column in columns],
        ["---:" if column.is_number else "---" for column in columns],
        *([_escape(cell) for cell in cells] for cells in zip(*(c.cells for c in columns), strict=True)),
    ]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return text + "".join(f"\n* {_escape(note)}" for note in notes) + ("\n" if notes else "")


def _escape(text: str) -> str:
    for letter in "\\|`*_<":
        text = text.replace(letter, "\\" + letter)
    return " ".join(text.split())


def csv(rows: Sequence[Row]) -> str:
    """The figures in base units, one line a row; lists are joined with ' + ' and 'x'."""
    out = io.StringIO()
    lines = [record(row) for row in rows]
    for line in lines:
        line |= {
            "trained": " + ".join(line["trained"]),
            "input_size": "x".join(map(str, line["input_size"])),
            "parents": " ".join(f"{role}={id}" for role, id in line["parents"].items()),
        }
    writer = DictWriter(out, list(lines[0]) if lines else ["id"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def json(rows: Sequence[Row], notes: Sequence[str] = ()) -> str:
    """One JSON object: the figures in base units, and the notes."""
    return dumps({"rows": [record(row) for row in rows], "notes": list(notes)}, ensure_ascii=False, allow_nan=False)
