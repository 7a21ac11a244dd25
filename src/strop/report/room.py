"""What of each model a page has room for, so that a page about fifty models still opens on a phone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .models import Model
    from .rows import Row

ROOM = 8_000_000
"""Bytes of all parts of all models: HTML, pictures, and the figures that the page's script draws them from."""
FIRST = 2_000_000
"""Bytes that the model to ship may take before the others are looked at."""


class Part(NamedTuple):
    """A part of a model's fold-out.

    Attributes:
        write: gives its HTML; "" where its fields are not there.
        name: what it is called where it is left out.
        drawn: the figures of the embedded JSON that only this part needs, as paths: "measured.confusion".
        short: gives less of it, where there is a way between all and nothing.
    """

    write: Callable[[Model], str]
    name: str
    drawn: tuple[str, ...] = ()
    short: Callable[[Model], str] | None = None


class Inside(NamedTuple):
    """What a fold-out holds, the names of the parts that were left out, and the figures that went with them."""

    html: str
    left_out: list[str]
    undrawn: list[str]


def furnish(
    models: Sequence[Model], figures: Sequence[Mapping[str, Any]], parts: Sequence[Part], pick: Row | None
) -> list[Inside]:
    """The inside of each model's fold-out; the largest parts go where one is over its share of the room.

    The model to ship comes first; what one leaves of its share is divided among those behind it.

    Args:
        figures: what is embedded of each model, see `page.embedded`.
        pick: the row to ship.
    """
    ordered = sorted(models, key=lambda model: model.row is not pick)
    found: dict[int, Inside] = {}
    rest = ROOM
    for place, model in enumerate(ordered):
        share = rest / (len(ordered) - place)
        inside, weight = _fit(model, figures[model.number], parts, max(share, FIRST) if model.row is pick else share)
        found[model.number] = inside
        rest = max(0, rest - weight)
    return [found[model.number] for model in models]


def _fit(model: Model, figures: Mapping[str, Any], parts: Sequence[Part], most: float) -> tuple[Inside, int]:
    html = [part.write(model) for part in parts]
    drawn = [sum(_bytes(json.dumps(_at(figures, path))) for path in part.drawn) for part in parts]
    weights = [_bytes(text) + more for text, more in zip(html, drawn, strict=True)]
    left_out, undrawn = [], []
    while sum(weights) > most and any(weights):
        i = max(range(len(parts)), key=weights.__getitem__)
        is_whole = parts[i].name not in left_out
        html[i] = parts[i].short(model) if parts[i].short and is_whole else ""
        weights[i] = _bytes(html[i])
        if is_whole:
            left_out.append(parts[i].name)
            undrawn += parts[i].drawn
    return Inside("".join(html), left_out, undrawn), sum(weights)


def _bytes(text: str) -> int:
    return len(text.encode())


def _at(figures: Any, path: str) -> Any:
    for name in path.split("."):
        figures = figures.get(name) if isinstance(figures, Mapping) else None
    return figures


def without(figures: dict[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """A copy that lacks what stands at these paths."""
    for path in paths:
        name, _, below = path.partition(".")
        if not below:
            figures = {key: value for key, value in figures.items() if key != name}
        elif isinstance(figures.get(name), dict):
            figures = figures | {name: without(figures[name], [below])}
    return figures
