"""One fold-out a model, with everything that is known about it; that of the model to ship is open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

from ..columns import how
from ..numbers import DASH, decimals_for, percent, significant, size
from .classes import classes
from .compression import pruning, quantization
from .confusion import confusion
from .curves import curves
from .evaluations import abstaining, outliers, robustness, without_copies
from .explained import explained
from .measured import measured
from .reliability import reliability
from .weights import weights

if TYPE_CHECKING:
    from ..models import Model
    from ..rows import Row

PARTS: tuple[Callable[[Model], str], ...] = (
    *(curves, measured, without_copies, confusion, classes, explained),
    *(reliability, abstaining, robustness, outliers),
    *(pruning, quantization, weights),
)
"""In the order of the page; each gives "" where its fields are not there."""


def details(models: Sequence[Model], pick: Row | None = None) -> str:
    """`pick` is the model to ship."""
    button = '<button type="button" id="open-all" hidden>Open all</button>' if len(models) > 1 else ""
    first = next((model.number for model in models if model.row is pick), 0)
    return button + "".join(_fold(model, is_open=model.number == first) for model in models)


def _fold(model: Model, *, is_open: bool) -> str:
    inside = "".join(part(model) for part in PARTS)
    return (
        f'<details class="model"{" open" if is_open else ""}><summary><b>{escape(model.row.id)}</b>'
        f'<span>{escape(_summary(model.row))}</span></summary><div class="inside">{inside}</div></details>'
    )


def _summary(row: Row) -> str:
    parts = [row.model, how(row), size(row.input_size), f"{significant(row.bytes / 1e6)} MB"]
    if row.accuracy is not None:
        parts.append(f"{percent(row.accuracy, decimals_for(row.figure('n')))} %")
    return " · ".join(part for part in parts if part != DASH)
