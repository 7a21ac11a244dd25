"""One fold-out a model, with everything that is known about it; that of the model to ship is open."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING

from ..columns import how
from ..numbers import DASH, decimals_for, percent, significant, size
from ..room import Inside, Part
from .classes import classes
from .compression import pruning, quantization
from .confusion import confusion
from .curves import curves
from .evaluations import abstaining, outliers, robustness, without_copies
from .explained import explained
from .measured import measured
from .reliability import reliability
from .runtimes import runtimes
from .weights import weights

if TYPE_CHECKING:
    from ..models import Model
    from ..rows import Row

PARTS = (
    Part(curves, "curves", ("metrics",)),
    Part(measured, "measurements"),
    Part(runtimes, "figures in each runtime"),
    Part(without_copies, "accuracy without copies"),
    Part(confusion, "confusion matrix", ("measured.confusion",), partial(confusion, has_counts=False)),
    Part(classes, "figures of each class", ("measured.per_class",), partial(classes, has_all=False)),
    Part(explained, "pictures of errors", short=partial(explained, has_pictures=False)),
    Part(reliability, "reliability", ("measured.reliability", "measured.calibrated")),
    Part(abstaining, "abstaining"),
    Part(robustness, "robustness"),
    Part(outliers, "outliers"),
    Part(pruning, "what pruning did to each layer"),
    Part(quantization, "what quantizing did to each layer"),
    Part(weights, "weights of each layer"),
)
"""In the order of the page; each gives "" where its fields are not there."""


PRINTED = '<p class="printed soft">On paper: what is folded away on the screen is left out.</p>'


def details(models: Sequence[Model], insides: Sequence[Inside], pick: Row | None = None) -> str:
    """`insides` are what the page has room for, `pick` is the model to ship."""
    button = '<button type="button" id="open-all" hidden>Open all</button>' if len(models) > 1 else ""
    first = next((model.number for model in models if model.row is pick), 0)
    short = sum(bool(inside.left_out) for inside in insides)
    said = (
        f"<p>So that this page stays small, parts of {short:,} of {len(models):,} models are left out; each says which "
        "at its end.</p>"
    )
    folds = (_fold(model, inside, is_open=model.number == first) for model, inside in zip(models, insides, strict=True))
    return (said if short else "") + PRINTED + button + "".join(folds)


def _fold(model: Model, inside: Inside, *, is_open: bool) -> str:
    text = inside.html
    if inside.left_out:
        command = f"strop report {shlex.quote(os.path.relpath(model.row.folder))}"
        text += f"<p>Left out here: {', '.join(inside.left_out)}. <code>{escape(command)}</code> shows all.</p>"
    return (
        f'<details class="model"{" open" if is_open else ""}><summary><b>{escape(model.row.id)}</b>'
        f'<span>{escape(_summary(model.row))}</span></summary><div class="inside">{text}</div></details>'
    )


def _summary(row: Row) -> str:
    parts = [row.model, how(row), size(row.input_size), f"{significant(row.bytes / 1e6)} MB"]
    if row.accuracy is not None:
        parts.append(f"{percent(row.accuracy, decimals_for(row.figure('n')))} %")
    return " · ".join(part for part in parts if part != DASH)
