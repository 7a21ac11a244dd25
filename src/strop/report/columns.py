"""The columns that a table can have, by name, and those that it has where none were chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from .beside_float import does_not_pay, marked
from .fronts import marks
from .numbers import DASH, clock, decimals_for, percent, rough, significant, size
from .runtimes import others, within

if TYPE_CHECKING:
    from .rows import Row


@dataclass(frozen=True)
class Column:
    """One column: its title, its unit, its cells; numbers stand right.

    `values` are what the cells show, in base units, and `best` says which of them are good: "high" or "low".
    """

    title: str
    unit: str
    cells: list[str]
    is_number: bool = True
    values: list[Any] = field(default_factory=list)
    best: str = ""
    name: str = ""

    @property
    def heading(self) -> str:
        return f"{self.title} {self.unit}".strip()


class Figure(NamedTuple):
    """A number of each row that is shown divided by `scale`."""

    title: str
    unit: str
    read: Callable[[Row], float | None]
    scale: float = 1
    best: str = "low"


FIGURES = {
    "params": Figure("params", "M", lambda row: row.parameters, 1e6),
    "parameters": Figure("parameters", "", lambda row: row.parameters),
    "macs": Figure("MACs", "G", lambda row: row.macs, 1e9),
    "size": Figure("size", "MB", lambda row: row.bytes, 1e6),
    "nll": Figure("NLL", "", lambda row: row.figure("loss")),
    "brier": Figure("Brier", "", lambda row: row.figure("brier")),
    "ece": Figure("ECE", "", lambda row: row.figure("ece")),
    "kimages/s": Figure("throughput", "K/s", lambda row: row.images_per_second, 1e3, "high"),
    "memory": Figure("memory", "MB", lambda row: row.timed("peak_memory_bytes"), 1e6),
    "energy": Figure("energy", "mJ/image", lambda row: row.timed("energy", "mj_per_image")),
    "epochs": Figure("epochs", "", lambda row: row.trained_for("epochs")),
    "min-loss": Figure("min loss", "", lambda row: row.trained_for("min_loss")),
    "final-loss": Figure("final loss", "", lambda row: row.trained_for("final_loss")),
    "train-memory": Figure("train memory", "MB", lambda row: row.trained_for("peak_memory_bytes"), 1e6),
    "test-memory": Figure("test memory", "MB", lambda row: row.figure("peak_memory_bytes"), 1e6),
    "total-size": Figure("total size", "MiB", lambda row: row.total_size(1), 2**20),
    "total-size-64": Figure("total size", "MiB, 64", lambda row: row.total_size(64), 2**20),
}
SHARES = {
    "precision": ("macro prec.", "macro_precision"),
    "recall": ("macro recall", "macro_recall"),
    "f1": ("macro F1", "macro_f1"),
    "top5": ("top-5", "top5"),
}
TEXTS: dict[str, tuple[str, Callable[[Row], str]]] = {
    "name": ("name", lambda row: row.id),
    "model": ("model", lambda row: row.model),
    "mode": ("how trained", lambda row: how(row)),
    "optimizer": ("optimizer", lambda row: str((row.training or {}).get("optimizer") or DASH)),
    "file": ("file", lambda row: row.file),
    "hash": ("hash", lambda row: row.hash.removeprefix("sha256:")[:12]),
    "verdict": ("verdict", lambda row: row.against.verdict if row.against else DASH),
}


def how(row: Row) -> str:
    """How the model was made: 'L2 + distilled + pruned'."""
    return " + ".join(row.trained) or DASH


def _text(name: str) -> Callable:
    title, read = TEXTS[name]

    def build(rows: Sequence[Row], decimals: int | None) -> Column:
        cells = [read(row) for row in rows]
        return Column(title, "", cells, is_number=False, values=cells)

    return build


def _figure(name: str) -> Callable:
    title, unit, read, scale, best = FIGURES[name]

    def build(rows: Sequence[Row], decimals: int | None) -> Column:
        values = [read(row) for row in rows]
        cells = [
            _shown(None if value is None else value if scale == 1 else value / scale, decimals) for value in values
        ]
        return Column(title, unit, cells, values=values, best=best)

    return build


def _shown(value: float | None, decimals: int | None) -> str:
    """Counts are whole."""
    if value is None or decimals is None:
        return f"{value:,}" if isinstance(value, int) else significant(value)
    return f"{value:,.{decimals}f}"


def _share(name: str) -> Callable:
    title, key = SHARES[name]

    def build(rows: Sequence[Row], decimals: int | None) -> Column:
        values = [row.figure(key) for row in rows]
        digits = _digits(rows) if decimals is None else decimals
        return Column(title, "%", [percent(value, digits) for value in values], values=values, best="high")

    return build


def _digits(rows: Sequence[Row]) -> int:
    return decimals_for(max((row.figure("n") or 0 for row in rows), default=0))


def split_of(rows: Sequence[Row]) -> str:
    """The split that all rows were measured on; empty where they differ."""
    splits = {row.measured["split"] for row in rows if row.measured}
    return splits.pop() if len(splits) == 1 else ""


def _number(rows: Sequence[Row], decimals: int | None) -> Column:
    return Column("#", "", [str(n) for n in range(1, len(rows) + 1)], values=list(range(1, len(rows) + 1)))


def _input(rows: Sequence[Row], decimals: int | None) -> Column:
    return Column("input", "", [size(row.input_size) for row in rows], values=[row.input_size[-1:] for row in rows])


def _accuracy(rows: Sequence[Row], decimals: int | None) -> Column:
    """With its interval, or, with given decimals, alone; the title names the split."""
    digits = _digits(rows) if decimals is None else decimals
    cells = [percent(row.accuracy, digits) for row in rows]
    if decimals is None:
        cells = [
            f"{cell} [{percent(row.interval[0], digits)}, {percent(row.interval[1], digits)}]" if row.interval else cell
            for cell, row in zip(cells, rows, strict=True)
        ]
    unit = "% [95 %]" if decimals is None else "%"
    values = [row.accuracy for row in rows]
    return Column(f"{split_of(rows)} accuracy".strip(), unit, cells, values=values, best="high")


def _latency(rows: Sequence[Row], decimals: int | None) -> Column:
    values = [row.p50 for row in rows]
    cells = [
        marked(cell, does_not_pay(row, rows)) for cell, row in zip(_times(rows, values, decimals), rows, strict=True)
    ]
    return Column("latency p50", "ms", cells, values=values, best="low")


def _p95(rows: Sequence[Row], decimals: int | None) -> Column:
    values = [row.p95 for row in rows]
    return Column("latency p95", "ms", _times(rows, values, decimals), values=values, best="low")


def _cold_start(rows: Sequence[Row], decimals: int | None) -> Column:
    values = [row.timed("cold_start", "ms") for row in rows]
    return Column("cold start", "ms", _times(rows, values, decimals), values=values, best="low")


def _times(rows: Sequence[Row], values: Sequence[float | None], decimals: int | None) -> list[str]:
    """Of a bench on a machine that was not quiet, one digit and a ~: more would mean nothing."""
    return [_shown(value, decimals) if row.is_quiet else rough(value) for row, value in zip(rows, values, strict=True)]


def _throughput(rows: Sequence[Row], decimals: int | None) -> Column:
    batches = {row.latency["images_per_second"].get("batch") for row in rows if row.images_per_second is not None}
    unit = f"batch {batches.pop()}" if len(batches) == 1 else "best batch" if batches else "batch 64"
    values = [row.images_per_second for row in rows]
    return Column("images/s", unit, _times(rows, values, decimals), values=values, best="high")


def _ratio(rows: Sequence[Row], decimals: int | None) -> Column:
    values = [row.timed("ratio", "latency") for row in rows]
    bounds = [row.timed("ratio", "latency_interval") for row in rows]
    cells = [
        DASH if value is None else f"{value:.2f}" + (f" [{low:.2f}, {high:.2f}]" if (low, high) != (1, 1) else "")
        for value, (low, high) in zip(values, (bound or (1, 1) for bound in bounds), strict=True)
    ]
    return Column("latency ratio", "[95 %]", cells, values=values, best="low")


def _time(rows: Sequence[Row], decimals: int | None) -> Column:
    values = [row.trained_for("seconds") for row in rows]
    return Column("time", "h:mm:ss", [clock(value, decimals or 0) for value in values], values=values, best="low")


def _front(rows: Sequence[Row], decimals: int | None) -> Column:
    cells = marks(rows)
    return Column("front", "", cells, is_number=False, values=cells)


def _difference(rows: Sequence[Row], decimals: int | None) -> Column:
    digits = _digits(rows) if decimals is None else decimals
    cells = [
        f"{100 * a.difference:+.{digits}f} [{100 * a.low:+.{digits}f}, {100 * a.high:+.{digits}f}]" if a else DASH
        for a in (row.against for row in rows)
    ]
    values = [row.against.difference if row.against else None for row in rows]
    return Column("difference", "points [95 %]", cells, values=values, best="high")


def _other_answers(rows: Sequence[Row], decimals: int | None) -> Column:
    """Pictures that get another class in a further runtime."""
    found = [(row.measured or {}).get("disagreements") for row in rows]
    cells = [
        DASH if about is None else f"{about['count']:,} of {row.measured['n']:,}"
        for about, row in zip(found, rows, strict=True)
    ]
    return Column("other answers", "", cells, values=[about and about["count"] for about in found], best="low")


def _p(rows: Sequence[Row], decimals: int | None) -> Column:
    values = [row.against.adjusted if row.against else None for row in rows]
    cells = [DASH if p is None else "<0.001" if p < 0.001 else f"{p:.3f}" for p in values]
    return Column("p", "Holm", cells, values=values, best="low")


COLUMNS: dict[str, Callable[[Sequence[Row], int | None], Column]] = {
    "#": _number,
    **{name: _text(name) for name in TEXTS},
    **{name: _figure(name) for name in FIGURES},
    **{name: _share(name) for name in SHARES},
    "input": _input,
    "accuracy": _accuracy,
    "latency": _latency,
    "p95": _p95,
    "cold-start": _cold_start,
    "images/s": _throughput,
    "ratio": _ratio,
    "time": _time,
    "front": _front,
    "difference": _difference,
    "p": _p,
    "other-answers": _other_answers,
}
KEY = ("#", "name")
MODEL = ("mode", "input", "params", "macs", "size", "front")
MEASURED = ("accuracy", "precision", "recall", "f1", "latency", "p95", "images/s")
AGAINST = ("difference", "p", "verdict")
IN_RUNTIME = ("accuracy", "other-answers", "latency", "ratio")


def build(name: str, rows: Sequence[Row], decimals: int | None = None) -> Column:
    """The column of that name; `latency@openvino` is that of the rows in another runtime."""
    base, at, runtime = name.partition("@")
    column = COLUMNS[base](within(rows, runtime) if at else rows, decimals)
    return replace(column, name=name, title=f"{runtime} {column.title}" if at else column.title)


def filled(columns: Iterable[Column]) -> list[Column]:
    """Those with a figure."""
    return [column for column in columns if set(column.cells) != {DASH}]


def groups(rows: Sequence[Row]) -> list[list[Column]]:
    """The columns where none were chosen, in the groups that a narrow terminal stacks; the first is in each of them."""
    names = [KEY, MODEL, MEASURED, *([AGAINST] if any(row.against for row in rows) else [])]
    if len(rows) < 2:
        names[1] = tuple(name for name in MODEL if name != "front")
    elsewhere = [[build(f"{name}@{runtime}", rows) for name in IN_RUNTIME] for runtime in others(rows)]
    return [*([build(name, rows) for name in group] for group in names), *map(filled, elsewhere)]
