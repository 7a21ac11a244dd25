"""PNG charts of one model: its classes, and its weights beside those of its parent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log1p
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .charts import FAINT, FRONT, TRAIN, VAL, canvas, draw_grid
from .numbers import shorten

if TYPE_CHECKING:
    from .models import Model

CLASSES, LAYERS = 100, 48
_MARKS = (("recall", VAL, "o"), ("precision", TRAIN, "^"), ("f1", FRONT, "|"))


def class_bars(found: Sequence[Mapping[str, Any]], path: Path, title: str) -> None:
    """A line a class from recall to precision, with F1 on it; of more than 100 classes the worst by F1, worst first.

    Args:
        found: `per_class` of result.json.
    """
    shown = found if len(found) <= CLASSES else sorted(found, key=lambda one: one["f1"])[:CLASSES]
    heights = range(len(shown))
    with canvas(path, 7.5, max(2.4, 0.27 * len(shown) + 1.3), grow=True) as (_, (axes,)):
        ends = [[100 * one[name] for one in shown] for name in ("recall", "precision")]
        axes.hlines(heights, *ends, color=FAINT, linewidth=1.2, zorder=1)
        for name, colour, mark in _MARKS:
            values = [100 * one[name] for one in shown]
            look = {"s": 90 if mark == "|" else 30, "linewidth": 1.8 if mark == "|" else 1}
            axes.scatter(values, heights, color=colour, marker=mark, zorder=2, label=name.replace("f1", "F1"), **look)
        names = [shorten(one["name"], 28) for one in shown]
        axes.set_yticks(heights, names, fontsize=8, parse_math=False)
        axes.invert_yaxis()
        axes.set(xlim=(-2, 102), xlabel="%")
        worst = f"\nthe {CLASSES} worst of {len(found):,} classes" if len(shown) < len(found) else ""
        axes.set_title(title + worst, parse_math=False, pad=22)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=8, borderaxespad=0)
        draw_grid(axes)


def weight_ridges(model: Model, path: Path) -> None:
    """A ridge a layer: how often each weight occurs, on a log scale, in units of the layer's standard deviation.

    The parent's is laid over as a line, in the same units; of more than 48 layers the first are drawn.
    """
    layers, before = model.weights[:LAYERS], {layer["name"]: layer for layer in model.before}
    parent = model.row.parents.get("parent", {}).get("id", "its parent")
    with canvas(path, 7.5, max(2.6, 0.34 * len(layers) + 1.3), grow=True) as (_, (axes,)):
        for at, layer in enumerate(layers):
            unit = layer.get("sd") or 1.0
            edges, heights = _ridge(layer["histogram"], unit)
            axes.stairs([at - h for h in heights], edges, baseline=at, fill=True, color=VAL, alpha=0.55, zorder=2)
            if layer["name"] in before:
                edges, heights = _ridge(before[layer["name"]]["histogram"], unit)
                axes.stairs([at - h for h in heights], edges, baseline=at, color=TRAIN, linewidth=1, zorder=3)
        names = [layer["name"] for layer in layers]
        axes.set_yticks(range(len(layers)), names, fontsize=7, parse_math=False)
        axes.set_ylim(len(layers) - 0.4, -1.1)
        axes.set_xlim(-8, 8)
        axes.set_xlabel("weight in standard deviations of its layer")
        more = f"\nthe first {len(layers)} of {len(model.weights)} layers" if len(layers) < len(model.weights) else ""
        line = f"; line: {parent}" if before else ""
        axes.set_title(f"Weights, log scale. Filled: {model.row.id}{line}{more}", parse_math=False)
        axes.grid(True, axis="x", color="#e4e6ea", linewidth=0.8)
        axes.set_axisbelow(True)


def _ridge(histogram: Mapping[str, Any], unit: float) -> tuple[list[float], list[float]]:
    """Edges in `unit`s, and heights from 0 to 0.9: the density a unit, on a log scale that begins at 1e-4."""
    counts, total = histogram["counts"], sum(histogram["counts"]) or 1
    step = (histogram["to"] - histogram["from"]) / len(counts)
    edges = [(histogram["from"] + i * step) / unit for i in range(len(counts) + 1)]
    densities = [count / total / (step / unit) for count in counts]
    return edges, [min(0.98, log1p(1e4 * density) / log1p(1e4)) for density in densities]
