"""PNG of what each layer of a quantized network costs; drawn from result.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .charts import FAINT, VAL, WRONG, canvas, draw_grid


def sensitivity(rows: Sequence[Mapping[str, Any]], kept: Mapping[str, Sequence[str]], path: Path) -> None:
    """One bar a layer, in the order of the network: the rise of the loss when it alone is quantized.

    Args:
        rows: `quantization.sensitivity` of result.json.
        kept: `quantization.kept`: the layers that stayed in float or int8; they are drawn in another colour.
    """
    held = {name for names in kept.values() for name in names}
    with canvas(path, 8, max(2.2, 0.24 * len(rows) + 1.2), grow=True) as (_, (axes,)):
        colours = [WRONG if row["layer"] in held else VAL for row in rows]
        axes.barh([row["layer"] for row in rows], [row["loss_rise"] for row in rows], color=colours)
        axes.axvline(0, color=FAINT, linewidth=0.8)
        axes.invert_yaxis()
        axes.tick_params(axis="y", labelsize=7)
        axes.set_xlabel(f"rise of the loss on {rows[0]['n']} validation pictures, nats")
        words = ["one layer at a time"] + (
            [f"orange: kept in {' or '.join(word for word, names in kept.items() if names)}"] if held else []
        )
        axes.set_title(f"Quantized to {rows[0]['bits']} bits, {'; '.join(words)}")
        draw_grid(axes)
