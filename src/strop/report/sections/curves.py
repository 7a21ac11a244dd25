"""Loss, accuracy and recall over the epochs of a training: places of the line charts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..charts import best_epoch
from ..markup import chart
from ..numbers import percent, significant

if TYPE_CHECKING:
    from ..models import Model


def curves(model: Model) -> str:
    if not model.metrics:
        return ""
    best = (model.row.training or {}).get("best_epoch") or best_epoch(model.metrics)
    mark = f", best epoch {best} is marked" if isinstance(best, int) else ""
    figures = "".join(
        chart(name.capitalize(), unit, _says(model.metrics, name), f'data-row="{model.number}" data-curve="{name}"')
        for name, unit in (("loss", ""), ("accuracy", "%"), ("recall", "macro, %"))
    )
    return f'<h3>Training{mark}</h3><div class="charts three">{figures}</div>'


def _says(metrics: list[dict[str, Any]], name: str) -> str:
    """'Loss over 4 epochs: training 1.52 to 0.859, validation 1.22 to 0.839'"""
    parts = []
    for split, word in (("train", "training"), ("val", "validation")):
        ends = [(metrics[i].get(split) or {}).get(name) for i in (0, -1)]
        if all(isinstance(end, int | float) for end in ends):
            show = significant if name == "loss" else lambda value: f"{percent(value)} %"
            parts.append(f"{word} {show(ends[0])} to {show(ends[1])}")
    return f"{name.capitalize()} over {len(metrics)} epochs: {', '.join(parts) or 'not measured'}"
