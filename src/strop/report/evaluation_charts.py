"""PNG of what an evaluation found; drawn from result.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .charts import FAINT, TRAIN, VAL, canvas, draw_grid


def reliability_diagram(measured: Mapping[str, Any], path: Path) -> None:
    """Accuracy against confidence, in bins, before and after temperature scaling; below, how many pictures each holds.

    Args:
        measured: an entry of result.json with `reliability`.
    """
    scaled = measured.get("calibrated")
    with canvas(path, 10, 4.2, panels=2) as (_, (left, right)):
        left.plot([0, 100], [0, 100], ":", color=FAINT, label="confidence = accuracy")
        _draw(left, measured["reliability"], VAL, f"as it is, ECE {measured['ece']:.3f}")
        if scaled:
            label = f"temperature {measured['temperature']:.2f}, ECE {scaled['ece']:.3f}"
            _draw(left, scaled["reliability"], TRAIN, label)
        left.set(title="Reliability", xlabel="confidence, %", ylabel="accuracy, %", xlim=(0, 100), ylim=(0, 100))
        left.legend(loc="upper left", fontsize=9)
        draw_grid(left)
        bins = measured["reliability"]
        width = 100 * (bins[0]["to"] - bins[0]["from"])
        middles = [50 * (row["from"] + row["to"]) for row in bins]
        right.bar(middles, [row["n"] for row in bins], 0.9 * width, color=VAL)
        right.set(title=f"{measured['n']:,} {measured['split']} pictures", xlabel="confidence, %", ylabel="pictures")
        right.set_xlim(0, 100)
        draw_grid(right)


def _draw(axes: Any, bins: list[Mapping[str, Any]], colour: str, label: str) -> None:
    """A point a bin, larger where it holds more pictures."""
    full = [row for row in bins if row["n"]]
    most = max(row["n"] for row in full)
    x, y = ([100 * row[name] for row in full] for name in ("confidence", "accuracy"))
    axes.plot(x, y, "-", color=colour, linewidth=1.2)
    axes.scatter(x, y, s=[12 + 60 * row["n"] / most for row in full], color=colour, label=label, zorder=3)
