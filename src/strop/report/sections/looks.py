"""How often the test pictures were looked at, by which runs and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..markup import folded, listed
from ..models import read_object

if TYPE_CHECKING:
    from ..rows import Row


def looks(rows: Sequence[Row]) -> str:
    """Nothing where no row was measured on test pictures."""
    sets = {row.measured["test_set"]: row for row in rows if row.measured and row.measured.get("test_set")}
    found = []
    for test_set, row in sets.items():
        counted = read_object(row.folder.parent / "looks.json").get("test_sets")
        entries = counted.get(test_set) if isinstance(counted, dict) else None
        if not isinstance(entries, list) or not entries:
            continue
        times = "once" if len(entries) == 1 else f"{len(entries)} times"
        warning = "" if len(entries) == 1 else " What is chosen by it looks better than it is."
        lines = [
            f"{one.get('started', '?')}: {one.get('verb', '?')} {one.get('run', '?')}" for one in map(_entry, entries)
        ]
        found.append(
            f"<p>These test pictures were looked at {times}.{warning}</p>" + folded("Each look", listed(lines[-200:]))
        )
    return f"<section><h2>Looks at the test set</h2>{''.join(found)}</section>" if found else ""


def _entry(value: object) -> dict:
    return value if isinstance(value, dict) else {}
