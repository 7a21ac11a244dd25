"""PNG of what each group of channels is worth; drawn from result.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .charts import FAINT, TRAIN, VAL, WRONG, canvas, draw_grid

COLOURS = (TRAIN, VAL, WRONG)


def sensitivity(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A line a group, in the order of the network: the rise of the loss when a part of it alone is removed.

    Args:
        rows: `pruning.sensitivity` of result.json.
    """
    groups = list(dict.fromkeys(row["group"] for row in rows))
    with canvas(path, 8, max(2.2, 0.24 * len(groups) + 1.4), grow=True) as (_, (axes,)):
        for ratio, colour in zip(sorted({row["ratio"] for row in rows}), COLOURS, strict=False):
            of_ratio = [row for row in rows if row["ratio"] == ratio]
            places = [groups.index(row["group"]) for row in of_ratio]
            axes.plot(
                [row["loss_rise"] for row in of_ratio], places, "o", color=colour, label=f"{ratio:.0%}", markersize=5
            )
        axes.set_yticks(range(len(groups)), groups)
        axes.axvline(0, color=FAINT, linewidth=0.8)
        axes.invert_yaxis()
        axes.tick_params(axis="y", labelsize=7)
        axes.set_xlabel(f"rise of the loss on {rows[0]['n']} validation pictures, nats")
        axes.set_title("Channels removed from one group at a time, without training")
        axes.legend(title="removed", loc="best")
        draw_grid(axes)
