"""Whether probabilities mean what they say: accuracy against confidence, before and after the temperature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..markup import chart, exact, folded, grid
from ..numbers import percent, significant

if TYPE_CHECKING:
    from ..models import Model


def reliability(model: Model) -> str:
    figures = model.row.measured or {}
    bins = figures.get("reliability")
    if not isinstance(bins, list) or not bins:
        return ""
    calibrated = figures.get("calibrated")
    words = _words(figures, calibrated)
    says = f"Accuracy against confidence in {len(bins)} bins; the figures stand below."
    marks = f'data-reliability="{model.number}"'
    picture = chart("Accuracy against confidence", "%; on the diagonal, probabilities can be trusted", says, marks)
    heads = ["confidence, %", "pictures", "mean confidence, %", "accuracy, %"]
    table = grid("Reliability", heads, _lines(bins), flat=True)
    drawn = f'<div class="square">{picture}</div>'
    return f"<h3>Reliability</h3><p>{words}</p>{drawn}{folded('The bins in figures', table)}"


def _words(figures: dict[str, Any], calibrated: Any) -> str:
    text = f"Expected calibration error {exact(figures.get('ece'), percent(figures.get('ece')))} points."
    if figures.get("file_temperature"):
        text += f" The temperature {significant(figures['file_temperature'])} is in the file."
    if isinstance(calibrated, dict) and figures.get("temperature"):
        further = "further factor" if figures.get("file_temperature") else "temperature"
        text += (
            f" With the {further} {significant(figures['temperature'])}, fitted on validation pictures: "
            f"{exact(calibrated.get('ece'), percent(calibrated.get('ece')))} points."
        )
    return text


def _lines(bins: Sequence[dict[str, Any]]):
    for one in bins:
        if one["n"]:
            bounds = f"{percent(one['from'])} to {percent(one['to'])}"
            shares = [exact(one[key], percent(one[key])) for key in ("confidence", "accuracy")]
            yield [bounds, f"{one['n']:,}", *shares]
