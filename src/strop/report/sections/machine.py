"""Machines and versions: what all models share once, then what differs."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from ..markup import facts
from ..numbers import names, significant

if TYPE_CHECKING:
    from ..rows import Row


def machine(rows: Sequence[Row]) -> str:
    said = [{**row.machine, **row.versions} for row in rows]
    keys = list(dict.fromkeys(key for one in said for key in one))
    values = {key: list(dict.fromkeys(_shown(key, one[key]) for one in said if key in one)) for key in keys}
    text = facts([(key, found[0]) for key, found in values.items() if len(found) == 1])
    groups: dict[tuple, list[str]] = {}
    for row, one in zip(rows, said, strict=True):
        differing = tuple((key, _shown(key, one[key])) for key in keys if len(values[key]) > 1 and key in one)
        groups.setdefault(differing, []).append(row.id)
    if len(groups) < 2:
        return text
    for pairs, ids in groups.items():
        text += f"<h3>{escape(names(ids))}</h3>{facts(pairs)}"
    return text


def _shown(key: str, value: Any) -> str:
    return f"{significant(value / 1e9)} GB" if key == "memory_bytes" and isinstance(value, int) else str(value)
