"""Everything that was measured on a model, splits side by side, and on which file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from ..markup import exact, facts, grid
from ..numbers import decimals_for, percent, significant

if TYPE_CHECKING:
    from ..measurements import Entry
    from ..models import Model

ORDER = ("train", "val", "test")
MOST = 30
"""So many measurements of one model are shown."""
_FIGURES = (("loss", "NLL"), ("brier", "Brier"), ("ece", "ECE"))


def measured(model: Model) -> str:
    row = model.row
    if not row.entries:
        return "<p>Nothing was measured on test or val.</p>"
    text = f"<h3>Measured</h3>{_table(row.entries)}{_gap(row.entries)}"
    if not row.measured:
        return text
    return text + facts(
        [
            ("in the table above", f"{row.measured['split']}, {row.measured.get('file', '?')}"),
            ("hash of its model", str(row.measured["hash"])),
            ("interval", str(row.measured.get("interval_method", "not given"))),
        ]
    )


def _table(entries: Sequence[Entry]) -> str:
    told: dict[tuple, Entry] = {}
    for entry in entries:  # a run and its evaluation may say the same
        told.setdefault(_key(entry.figures), entry)
    shown = sorted(told.values(), key=lambda entry: _rank(entry.figures["split"]))[:MOST]
    top = any("top5" in entry.figures for entry in shown)
    heads = ["split", "measured", "pictures", "accuracy, %", *(["top-5, %"] if top else []), "macro F1, %"]
    heads += [title for _, title in _FIGURES]
    return grid("Measurements", heads, (_line(entry.figures, top) for entry in shown), texts=2, flat=True)


def _key(figures: dict[str, Any]) -> tuple:
    """What tells two measurements apart; the same network twice differs in the last digits of a float32 sum."""
    same = ("split", "checkpoint", "file", "runtime", "hash", "pictures", "n", "accuracy", "top5", "macro_f1")
    found = (figures.get(name) for name in (*same, *(name for name, _ in _FIGURES)))
    return tuple(round(one, 5) if isinstance(one, float) else one for one in found)


def _rank(split: str) -> int:
    return ORDER.index(split) if split in ORDER else len(ORDER)


def _line(figures: dict[str, Any], top: bool) -> list[str]:
    n = figures.get("n")
    digits = decimals_for(n)
    what = f"{figures.get('checkpoint') or ''} {figures.get('file', '?')} ({figures.get('runtime', '?')})".strip()
    interval = figures.get("accuracy_interval")
    spread = f" <small>[{percent(interval[0], digits)}, {percent(interval[1], digits)}]</small>" if interval else ""
    cells = [
        escape(figures["split"]),
        escape(what),
        f"{n:,}" if isinstance(n, int) else "",
        exact(figures["accuracy"], percent(figures["accuracy"], digits)) + spread,
    ]
    cells += [exact(figures.get("top5"), percent(figures.get("top5"), digits))] if top else []
    cells.append(exact(figures.get("macro_f1"), percent(figures.get("macro_f1"), digits)))
    return cells + [exact(figures.get(name), significant(figures.get(name))) for name, _ in _FIGURES]


def _gap(entries: Sequence[Entry]) -> str:
    """How much better the model knows the pictures it was trained on."""
    best = {entry.figures["split"]: entry.figures for entry in entries if entry.figures.get("checkpoint") != "last"}
    other = next((split for split in ("test", "val") if split in best), None)
    if "train" not in best or other is None:
        return ""
    gap = 100 * (best["train"]["accuracy"] - best[other]["accuracy"])
    return f"<p>Training pictures against {other} pictures: {gap:+.1f} points.</p>"
