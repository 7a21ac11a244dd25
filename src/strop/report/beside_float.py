"""Which quantized models are not faster than the float model they were made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .numbers import times

if TYPE_CHECKING:
    from .rows import Row

MARK = "!"
"""Stands before the latency of such a model; a note below the table says why."""


def not_faster(timed: Mapping[str, Any]) -> str | None:
    """Of a bench's row whose ratio to its float model is not below 1 with its whole interval: how long it takes."""
    ratio = timed.get("float_ratio")
    if not ratio or ratio["latency_interval"][1] < 1:
        return None
    low, high = ratio["latency_interval"]
    return f"it takes {ratio['latency']:.2f} [{low:.2f}, {high:.2f}] times as long as {ratio['to']}"


def does_not_pay(row: Row, rows: Sequence[Row]) -> str | None:
    """The same of a row among others; a bench that timed no ratio to the float model leaves the two medians."""
    if row.timed("float_ratio"):
        return not_faster(row.latency)
    parent = row.parent("parent", rows)
    if row.verb != "quantize" or parent is None or row.p50 is None or parent.p50 is None or row.p50 < parent.p50:
        return None
    return f"it takes {times(row.p50 / parent.p50)} times as long as {parent.id}"


def marked(cell: str, said: str | None) -> str:
    """A latency as it stands in a table."""
    return f"{MARK} {cell}" if said else cell
