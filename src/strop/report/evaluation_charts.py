"""PNG of what an evaluation found; drawn from result.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .charts import FAINT, TRAIN, VAL, canvas, draw_grid

if TYPE_CHECKING:
    import numpy as np


def reliability_diagram(measured: Mapping[str, Any], path: Path) -> None:
    """Accuracy against confidence, in bins, before and after temperature scaling; below, how many pictures each holds.

    Args:
        measured: an entry of result.json with `reliability`.
    """
    scaled = measured.get("calibrated")
    with canvas(path, 10, 4.2, panels=2) as (_, (left, right)):
        left.plot([0, 100], [0, 100], ":", color=FAINT, label="confidence = accuracy")
        _draw(left, measured["reliability"], VAL, f"as it is, ECE {measured['ece']:.3f}")
        if scaled:
            label = f"temperature {measured['temperature']:.2f}, ECE {scaled['ece']:.3f}"
            _draw(left, scaled["reliability"], TRAIN, label)
        left.set(title="Reliability", xlabel="confidence, %", ylabel="accuracy, %", xlim=(0, 100), ylim=(0, 100))
        left.legend(loc="upper left", fontsize=9)
        draw_grid(left)
        bins = measured["reliability"]
        width = 100 * (bins[0]["to"] - bins[0]["from"])
        middles = [50 * (row["from"] + row["to"]) for row in bins]
        right.bar(middles, [row["n"] for row in bins], 0.9 * width, color=VAL)
        right.set(title=f"{measured['n']:,} {measured['split']} pictures", xlabel="confidence, %", ylabel="pictures")
        right.set_xlim(0, 100)
        draw_grid(right)


def _draw(axes: Any, bins: list[Mapping[str, Any]], colour: str, label: str) -> None:
    """A point a bin, larger where it holds more pictures."""
    full = [row for row in bins if row["n"]]
    most = max(row["n"] for row in full)
    x, y = ([100 * row[name] for row in full] for name in ("confidence", "accuracy"))
    axes.plot(x, y, "-", color=colour, linewidth=1.2)
    axes.scatter(x, y, s=[12 + 60 * row["n"] / most for row in full], color=colour, label=label, zorder=3)


def robustness(found: Mapping[str, Any], path: Path) -> None:
    """Accuracy against the strength of each corruption, and against two sizes or more; no file where there is neither.

    Args:
        found: `robustness` of result.json.
    """
    import matplotlib

    rows = found.get("corruptions") or []
    sizes = [row for row in found.get("sizes") or [] if row["accuracy"] is not None]
    panels = [kind for kind, there in (("corruptions", rows), ("sizes", sizes[1:])) if there]
    if not panels:
        return
    colours = matplotlib.colormaps["tab10"].colors
    with canvas(path, 5.5 * len(panels) + 1.5, 4.4, panels=len(panels)) as (_, axes):
        for panel, kind in zip(axes, panels, strict=True):
            panel.axhline(100 * found["accuracy"], color=FAINT, linewidth=1, linestyle=":", label="unchanged")
            if kind == "corruptions":
                for number, name in enumerate(dict.fromkeys(row["corruption"] for row in rows)):
                    mine = [row for row in rows if row["corruption"] == name]
                    x, y = [row["strength"] for row in mine], [100 * row["accuracy"] for row in mine]
                    style = "o-" if number < len(colours) else "s--"
                    panel.plot(x, y, style, color=colours[number % len(colours)], markersize=4, label=name)
                panel.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
                panel.set(title="Corrupted pictures", xlabel="strength")
                panel.set_xticks(sorted({row["strength"] for row in rows}))
            else:
                x, y = [row["size"] for row in sizes], [100 * row["accuracy"] for row in sizes]
                panel.plot(x, y, "o-", color=VAL)
                panel.set(title="Pictures of other sizes", xlabel="pixels a side")
            panel.set_ylabel(f"accuracy, % of {found['n']:,} {found['split']} pictures")
            draw_grid(panel)


def overlay(picture: np.ndarray, cam: np.ndarray) -> np.ndarray:
    """The picture, and beside it the same with a heat map over it: what is red spoke for the class.

    Shape:
        picture: (1 or 3, H, W) uint8. cam: (H, W) in [0, 1]. Returns: (3, H, 2 W) uint8.
    """
    import matplotlib
    import numpy as np

    colour = np.broadcast_to(picture, (3, *picture.shape[1:]))
    heat = 255 * matplotlib.colormaps["jet"](cam)[..., :3].transpose(2, 0, 1)
    return np.concatenate([colour, np.rint(0.55 * colour + 0.45 * heat).astype(np.uint8)], axis=2)
