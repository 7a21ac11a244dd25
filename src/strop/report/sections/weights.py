"""How the weights of each layer are spread, laid over those of the parent: outlines without axes, ranges in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import log1p
from typing import TYPE_CHECKING, Any

from ..markup import folded
from ..numbers import percent, significant

if TYPE_CHECKING:
    from ..models import Model

LAYERS = 48
"""Of more layers than this the first are shown."""
_WIDE, _HIGH, _BINS = 100, 40, 50


def weights(model: Model) -> str:
    if not model.weights:
        return ""
    before = {layer["name"]: layer for layer in model.before}
    shown = model.weights[:LAYERS]
    panels = "".join(_panel(layer, before.get(layer["name"])) for layer in shown)
    more = f"; the first {LAYERS} of {len(model.weights)} layers" if len(model.weights) > LAYERS else ""
    parent = model.row.parents.get("parent", {}).get("id", "")
    words = f"Filled: {model.row.id}. Line: {parent}, its parent." if before else f"{model.row.id}."
    text = f"{words} Heights are on a log scale, so that tails show{more}."
    return folded("Weights of each layer", f'<p class="soft">{escape(text)}</p><div class="panels">{panels}</div>')


def _panel(layer: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    histograms = [found["histogram"] for found in (layer, before) if found]
    low, high = min(one["from"] for one in histograms), max(one["to"] for one in histograms)
    heights = [_heights(one, low, high) for one in histograms]
    top = max(max(line) for line in heights) or 1.0
    paths = [_path([value / top for value in line]) for line in heights]
    drawn = f'<path class="now" d="{paths[0]} L{_WIDE} {_HIGH} L0 {_HIGH} Z"/>'
    drawn += f'<path class="before" d="{paths[1]}"/>' if before else ""
    facts = [f"{layer['n']:,}" + (f" of {before['n']:,}" if before and before["n"] != layer["n"] else "") + " weights"]
    if isinstance(layer.get("sd"), int | float):
        facts.append(f"sd {significant(layer['sd'], 2)}")
    if layer.get("zeros"):
        facts.append(f"{percent(layer['zeros'])} % zeros")
    says = f"{layer['name']}: from {significant(low, 2)} to {significant(high, 2)}; {', '.join(facts)}"
    return (
        f'<div class="panel"><b>{escape(layer["name"])}</b><svg viewBox="0 0 {_WIDE} {_HIGH}" '
        f'preserveAspectRatio="none" role="img" aria-label="{escape(says)}">{drawn}</svg>'
        f"<span>{escape(significant(low, 2))} to {escape(significant(high, 2))}</span>"
        f"<span>{escape(', '.join(facts))}</span></div>"
    )


def _heights(histogram: Mapping[str, Any], low: float, high: float) -> list[float]:
    """Counts as shares of the layer in equal bins from `low` to `high`, then on a log scale that begins at 1e-5.

    A bin of the histogram gives its count to the bin its middle falls into.
    """
    counts, total = histogram["counts"], sum(histogram["counts"]) or 1
    step = (histogram["to"] - histogram["from"]) / len(counts)
    shares = [0.0] * _BINS
    for i, count in enumerate(counts):
        middle = histogram["from"] + (i + 0.5) * step
        shares[min(_BINS - 1, int(_BINS * (middle - low) / (high - low)))] += count / total
    return [log1p(1e5 * share) for share in shares]


def _path(heights: Sequence[float]) -> str:
    """Stairs from the left to the right; y grows downwards."""
    step = _WIDE / len(heights)
    points = []
    for i, height in enumerate(heights):
        y = f"{_HIGH * (1 - 0.96 * height):.1f}"
        points += [f"{i * step:g} {y}", f"{(i + 1) * step:g} {y}"]
    return "M" + " L".join(points)
