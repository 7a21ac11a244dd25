"""Train, validation and test side by side, as text for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .numbers import DASH

ORDER = ("train", "val", "test")
_ROWS = (
    ("accuracy %", "accuracy", 100, 2),
    ("macro F1 %", "macro_f1", 100, 2),
    ("NLL", "loss", 1, 3),
    ("Brier", "brier", 1, 3),
    ("ECE", "ece", 1, 3),
)
_CALIBRATED = (("NLL", "loss"), ("ECE", "ece"))


def side_by_side(measured: Sequence[Mapping[str, Any]]) -> str:
    """A line for each figure, a column for each entry; then how far training is ahead (the overfit gap).

    Args:
        measured: entries of result.json, in any order.
    """
    columns = sorted(measured, key=lambda entry: ORDER.index(entry["split"]))
    kinds = [str(entry.get("checkpoint") or "") for entry in columns]
    lines = [_line("", [entry["split"] for entry in columns])]
    if any(kinds):
        lines.append(_line("", kinds))
    lines.append(_line("pictures", [f"{entry['n']:,}" for entry in columns]))
    for title, name, scale, digits in _ROWS:
        lines.append(_line(title, [_number(entry.get(name), scale, digits) for entry in columns]))
    scaled = [entry.get("calibrated") or {} for entry in columns]
    if any(scaled):
        lines.append(_line("temperature", [_number(entry.get("temperature"), 1, 2) for entry in columns]))
        for title, name in _CALIBRATED:
            lines.append(_line(f"{title} with it", [_number(found.get(name), 1, 3) for found in scaled]))
    return "\n".join(lines + _gaps(columns))


def _gaps(columns: Sequence[Mapping[str, Any]]) -> list[str]:
    best = {entry["split"]: entry["accuracy"] for entry in columns if entry.get("checkpoint") != "last"}
    lines = []
    for split in ("val", "test"):
        if "train" in best and split in best:
            gap = 100 * (best["train"] - best[split])
            lines.append(f"overfit gap, train - {split}: {gap:.2f} points")
    return lines


def _line(title: str, cells: Sequence[str]) -> str:
    return f"{title:<15}" + "".join(f" {cell:>9}" for cell in cells)


def _number(value: float | None, scale: float, digits: int) -> str:
    return DASH if value is None else f"{scale * value:.{digits}f}"
