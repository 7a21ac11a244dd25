"""Precision, recall and F1 of each class: bars with their figures, and the line format of scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from ..markup import bar, exact, folded, grid
from ..numbers import percent

if TYPE_CHECKING:
    from ..models import Model

SHOWN = 20
"""Of more classes than this the worst are shown; the others are folded away."""


def classes(model: Model, *, has_all: bool = True) -> str:
    """All of them, or only the worst."""
    figures = model.row.measured or {}
    found = figures.get("per_class")
    if not found:
        return ""
    ranked = sorted(found, key=lambda one: one["f1"])
    title = f"<h3>Each class: the {min(SHOWN, len(found))} worst of {len(found)} by F1</h3>"
    if not has_all:
        return title + _table(ranked[:SHOWN], "The worst classes")
    lines = folded("As lines for scripts", f'<pre tabindex="0">{escape(class_lines(figures))}</pre>')
    if len(found) <= SHOWN:
        return f"<h3>Each class</h3>{_table(found, 'Each class')}{lines}"
    rest = _table(ranked[SHOWN:], "The other classes")
    return (
        title
        + _table(ranked[:SHOWN], "The worst classes")
        + folded(f"The other {len(found) - SHOWN}, worst first", rest)
        + lines
    )


def _table(found: Sequence[Mapping[str, Any]], label: str) -> str:
    lines = (
        [
            escape(one["name"]),
            bar(one["recall"]) + exact(one["recall"], percent(one["recall"])),
            bar(one["precision"]) + exact(one["precision"], percent(one["precision"])),
            bar(one["f1"]) + exact(one["f1"], percent(one["f1"])),
            f"{one['support']:,}" if isinstance(one.get("support"), int) else "",
        ]
        for one in found
    )
    return grid(label, ["class", "recall, %", "precision, %", "F1, %", "pictures"], lines, flat=True)


def class_lines(measured: Mapping[str, Any]) -> str:
    """Precision, recall and F1 of each class and their macro average, six decimals, in the line format of scripts."""
    line = "Precision: {:f}, Recall: {:f}, F1-Score: {:f}"
    lines = [f"Class {c['name']}: " + line.format(c["precision"], c["recall"], c["f1"]) for c in measured["per_class"]]
    macro = [measured.get(f"macro_{name}") for name in ("precision", "recall", "f1")]
    if None not in macro:
        lines.append("macro avg: " + line.format(*macro))
    return "\n".join(lines)
