"""The front of accuracy, latency and bytes: which models another one beats in all three."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .beside_float import does_not_pay
from .notes import same_pictures
from .numbers import decimals_for, percent, significant
from .table import Column

if TYPE_CHECKING:
    from .rows import Row


def dominated(rows: Sequence[Row]) -> dict[str, str]:
    """id of each row that another one beats -> id of the most accurate that does.

    A beats B when it is at least as accurate, at most as slow and at most as large, and better in one of the three.
    Differences within the intervals count like any other: the front is of points, as measured. Rows that were measured
    on other pictures, or not timed, neither beat nor are beaten.
    """
    found = {}
    for row in rows:
        better = [other for other in rows if _beats(other, row)]
        if better:
            found[row.id] = max(better, key=lambda other: (other.accuracy, -other.bytes)).id
    return found


def _beats(one: Row, other: Row) -> bool:
    if one is other or one.p50 is None or other.p50 is None or not same_pictures(one, other):
        return False
    pairs = [(one.accuracy, other.accuracy), (other.p50, one.p50), (other.bytes, one.bytes)]
    return all(mine >= theirs for mine, theirs in pairs) and any(mine > theirs for mine, theirs in pairs)


def front_columns(rows: Sequence[Row]) -> list[Column]:
    """The three figures, fastest first, and whether a row is beaten."""
    beaten = dominated(rows)
    timed = sorted(rows, key=lambda row: (row.p50 is None, row.p50 or 0.0))
    digits = decimals_for(max((row.figure("n") or 0 for row in rows), default=0))
    return [
        Column("name", "", [row.id for row in timed], is_number=False),
        Column("accuracy", "%", [percent(row.accuracy, digits) for row in timed]),
        Column("latency", "ms", [significant(row.p50) for row in timed]),
        Column("size", "MB", [significant(row.bytes / 1e6) for row in timed]),
        Column("front", "", [_word(row, beaten, rows) for row in timed], is_number=False),
    ]


def _word(row: Row, beaten: dict[str, str], rows: Sequence[Row]) -> str:
    if row.accuracy is None or row.p50 is None:
        return "not measured"
    place = f"dominated by {beaten[row.id]}" if row.id in beaten else "on the front"
    return f"{place}; not faster than float" if does_not_pay(row, rows) else place


def front_records(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The same for front.json, in base units."""
    beaten = dominated(rows)
    return [
        {
            "id": row.id,
            "file": row.file,
            "export": row.export,
            "hash": row.hash,
            "accuracy": row.accuracy,
            "accuracy_interval": list(row.interval) if row.interval else None,
            "latency_ms_p50": row.p50,
            "bytes": row.bytes,
            "float_ratio": row.timed("float_ratio"),
            "dominated_by": beaten.get(row.id),
        }
        for row in rows
    ]
