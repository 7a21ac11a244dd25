"""Accuracy against what a model costs: places of the scatter charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..markup import chart


def fronts(specs: Sequence[Mapping[str, Any]], ids: Sequence[str]) -> str:
    """Canvases of the scatter charts; nothing where there is only one point."""
    if not specs:
        return ""
    figures = "".join(_figure(number, spec, ids) for number, spec in enumerate(specs))
    return (
        '<section><h2>What a smaller or faster model costs</h2><p class="soft">The line joins the models that no '
        "other beats in both (filled circles; the others are hollow); the bars are the 95 % intervals.</p>"
        f'<div class="charts">{figures}</div></section>'
    )


def _figure(number: int, spec: Mapping[str, Any], ids: Sequence[str]) -> str:
    title = f"Accuracy against {spec['title'].partition(',')[0]}"
    front = ", ".join(ids[spec["points"][i]["row"]] for i in spec["front"])
    says = (
        f"{title}: {len(spec['points'])} models; on the front, cheapest first: {front}. The figures are in the table."
    )
    return chart(title, "", says, f'data-front="{number}"')
