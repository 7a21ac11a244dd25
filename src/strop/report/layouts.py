"""Columns by name or by layout, and sorting by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import UserError, suggest
from .columns import COLUMNS, IN_RUNTIME, Column, build, filled
from .runtimes import others

if TYPE_CHECKING:
    from .rows import Row

LAYOUTS = {
    # What fits between the margins of a page; LaTeX and Markdown have them where none were chosen.
    "paper": "name,params,size,accuracy,latency,verdict",
    "all": ",".join(COLUMNS),
    # The columns of the tables in the write-ups [000] and [002], with their decimals.
    "reference": "#,model,mode,input,params:3,accuracy:2,recall:2,latency:3,macs:3,kimages/s",
    "cifar100": "model,parameters:0,total-size-64:2,min-loss:4,final-loss:4,accuracy:2,optimizer,time:2,"
    "train-memory,test-memory",
}
TITLES = {"reference": {"mode": "mode"}}
LAYOUT_NOTES = {
    "reference": "Accuracy is the share of right pictures; the published table of this layout has macro precision "
    "under that title. MACs leave out batch norms and pooling, which thop, the counter of that table, adds.",
    "cifar100": "Total size counts as torchsummary does, at batch 64, in every row: 4 bytes x (64 x (input + 2 x "
    "outputs of all modules) + parameters). Losses are means over an epoch of training.",
}


def chosen(text: str, rows: Sequence[Row]) -> list[Column]:
    """The columns that `--columns` names: NAME or NAME:DECIMALS, separated by commas, or a layout.

    Of `paper` and `all`, columns without any figure are left out.

    Raises:
        UserError: with every name that is not known.

    Example:
        >>> [column.heading for column in chosen("name,params:3", rows)]
        ['name', 'params M']
    """
    titles = TITLES.get(text, {})
    found, problems = [], []
    for item in _layout(text, rows):
        name, colon, decimals = item.strip().partition(":")
        if wrong := _unknown(name, rows, LAYOUTS):
            problems.append(f"'{name}' {wrong}")
        elif colon and not (decimals.isdigit() and int(decimals) <= 9):
            problems.append(f"'{item.strip()}': write the number of decimals, 0 to 9, for example {name}:2.")
        else:
            column = build(name, rows, int(decimals) if colon else None)
            found.append(replace(column, title=titles.get(name, column.title)))
    if problems:
        raise UserError("--columns", *problems)
    return filled(found) if text in ("paper", "all") else found


def _layout(text: str, rows: Sequence[Row]) -> list[str]:
    """The names in a layout, or in what was typed; `paper` and `all` have those of other runtimes too."""
    elsewhere = {"paper": ("accuracy", "latency"), "all": IN_RUNTIME}.get(text, ())
    names = [f"{name}@{runtime}" for runtime in (others(rows) if elsewhere else ()) for name in elsewhere]
    return [*LAYOUTS.get(text, text).split(","), *names]


def _unknown(name: str, rows: Sequence[Row], also: Iterable[str] = ()) -> str | None:
    """What is wrong with the name of a column."""
    base, at, runtime = name.partition("@")
    if base not in COLUMNS:
        return f"is not a column. {suggest(name, (*COLUMNS, *also), show=50)}"
    if at and runtime not in (known := others(rows)):
        how = suggest(runtime, known) if known else "Measure and time with --runtime onnxruntime,openvino."
        return f"is of no further runtime that a row was measured or timed in. {how}"
    return None


def sort_rows(rows: Sequence[Row], text: str) -> list[Row]:
    """Rows by a column, the best first, or as NAME:asc and NAME:desc say; rows without the figure stand last."""
    name, _, order = text.partition(":")
    if wrong := _unknown(name, rows):
        raise UserError(f"--sort {text}", wrong)
    if order not in ("", "asc", "desc"):
        raise UserError(f"--sort {text}", f"can't be sorted so. Write {name}, {name}:asc or {name}:desc.")
    column = build(name, rows)
    falls = order == "desc" or not order and column.best == "high"
    pairs = list(zip(column.values, rows, strict=True))
    there = [pair for pair in pairs if pair[0] is not None]
    there.sort(key=lambda pair: pair[0], reverse=falls)
    return [row for _, row in there] + [row for value, row in pairs if value is None]
