"""PNG of the zeros of each layer over the epochs; drawn from metrics.jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .charts import FAINT, VAL, canvas, draw_grid

SHOWN = 60


def sparsity(metrics: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Left the share of zeros over the epochs, of all weights and faintly of each layer; right each layer at the end.

    Args:
        metrics: lines of metrics.jsonl; those without `sparsity` are left out.
    """
    lines = [line for line in metrics if line.get("sparsity")]
    names = list(lines[-1]["sparsity"])
    shown = names if len(names) <= SHOWN else sorted(names, key=lines[-1]["sparsity"].get)[-SHOWN:]
    epochs = [line["epoch"] for line in lines]
    with canvas(path, 11, max(3.4, 0.2 * len(shown) + 1.2), panels=2, grow=True) as (_, (over, layers)):
        for name in names:
            over.plot(
                epochs, [100 * line["sparsity"].get(name, 0.0) for line in lines], color=FAINT, alpha=0.35, lw=0.8
            )
        over.plot(
            epochs, [100 * line["zero_share"] for line in lines], "o-", color=VAL, markersize=3, label="all weights"
        )
        over.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        over.set(title="Zeros, % (faint: each layer)", xlabel="epoch", ylim=(-2, 102))
        over.legend(loc="best", fontsize=9)
        layers.barh(shown, [100 * lines[-1]["sparsity"][name] for name in shown], color=VAL)
        layers.invert_yaxis()
        layers.tick_params(axis="y", labelsize=7)
        layers.set(title=f"Zeros of each layer after epoch {epochs[-1]}, %", xlim=(0, 100))
        for axes in (over, layers):
            draw_grid(axes)
