"""The same rows in another runtime than the one that their table is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .measurements import Entry

if TYPE_CHECKING:
    from .rows import Row

COPIED = ("split", "pictures", "test_set", "data", "classes", "file", "hash")


def accuracies(chosen: Entry | None, pool: Iterable[Entry]) -> dict[str, dict[str, Any]]:
    """By runtime what was measured of the same file on the pictures of the entry that stands in the table.

    An evaluation in two runtimes has figures of both, one in OpenVINO alone is an entry of its own.
    """
    found: dict[str, dict[str, Any]] = {}
    for entry in pool:
        same = chosen is not None and entry.pictures == chosen.pictures and entry.is_shipped == chosen.is_shipped
        if not same or entry.figures.get("checkpoint") == "last":
            continue
        shared = {name: entry.figures[name] for name in COPIED if name in entry.figures}
        for about in entry.runtimes:
            found[about["name"]] = shared | about | {"runtime": about["name"]}
        if entry.figures.get("runtime") == "openvino":
            found.setdefault("openvino", entry.figures)
    return found


def others(rows: Sequence[Row]) -> list[str]:
    """Names of the runtimes that some row was measured or timed in, beside its own."""
    found: dict[str, None] = {}
    for row in rows:
        for figures, there in ((row.measured, _measured_in(row)), (row.latency, row.timed_in)):
            found |= dict.fromkeys(name for name in there if name != (figures or {}).get("runtime"))
    return list(found)


def within(rows: Sequence[Row], runtime: str) -> list[Row]:
    """The rows with what was measured and timed in that runtime, and nothing of another."""
    return [
        replace(
            row,
            measured=_measured_in(row).get(runtime),
            latency=row.timed_in.get(runtime),
            predictions=None,
            against=None,
        )
        for row in rows
    ]


def _measured_in(row: Row) -> dict[str, dict[str, Any]]:
    """Nothing of a row that has no accuracy in the table, because it was measured on other pictures."""
    return row.measured_in if row.measured else {}
