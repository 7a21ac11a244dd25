"""Which classes are taken for which: the matrix, and its largest entries as sentences."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from ..markup import chart, folded, listed, scroller
from ..numbers import percent

if TYPE_CHECKING:
    from ..models import Model

CELLS = 40
"""Up to so many classes each count is a cell with its number; above, the matrix is a picture to hover over."""
PICTURE = 400
"""Above so many classes a cell would be smaller than a pixel, and the counts too many for a page."""
PAIRS = 20


def confusion(model: Model, *, has_counts: bool = True) -> str:
    """Without counts what is left are the largest confusions in words."""
    figures = model.row.measured or {}
    counts, classes = figures.get("confusion"), figures.get("classes")
    if not counts or not classes or len(counts) != len(classes):
        return ""
    pairs = _pairs(counts, classes)
    said = listed(pairs) if pairs else "<p>No class was taken for another.</p>"
    if has_counts and len(classes) <= CELLS:
        title = "<h3>Confusion matrix: rows are the true classes, columns the predicted ones</h3>"
        return title + _matrix(counts, classes) + folded(f"The {len(pairs)} largest confusions in words", said)
    title = f"<h3>The largest confusions of {len(classes)} classes</h3>"
    if not has_counts or len(classes) > PICTURE:
        return title + said + f"<p>All {len(classes):,} x {len(classes):,} counts are in result.json.</p>"
    says = f"Confusion matrix of {len(classes)} classes; its largest entries off the diagonal are listed above."
    marks = f'data-matrix="{model.number}"'
    unit = "rows true, columns predicted; point at a cell, or go with the arrow keys, for its count"
    picture = chart("Confusion matrix", unit, says, marks)
    return title + said + f'<div class="square">{picture}</div>'


def _pairs(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> list[str]:
    """The largest entries off the diagonal, as sentences."""
    found = [(n, i, j) for i, row in enumerate(counts) for j, n in enumerate(row) if i != j and n]
    found.sort(key=lambda pair: -pair[0])
    return [
        f"{classes[i]} taken for {classes[j]}: {n} of {sum(counts[i])} ({percent(n / sum(counts[i]), 0)} %)"
        for n, i, j in found[:PAIRS]
    ]


def _matrix(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Shaded by the share of the true class: h0 is none, h10 is all of it."""
    names = [escape(name) for name in classes]
    head = "".join(f'<th scope="col" title="{name}"><span>{name}</span></th>' for name in names)
    body = []
    for name, row in zip(names, counts, strict=True):
        total = max(1, sum(row))
        cells = "".join(f'<td class="h{-(-10 * n // total)}">{n}</td>' for n in row)
        body.append(f'<tr><th scope="row" title="{name}">{name}</th>{cells}</tr>')
    table = f'<table class="matrix"><thead><tr><td></td>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'
    return scroller("Confusion matrix", table, flat=True)
