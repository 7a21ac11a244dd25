"""PNG charts that people paste into documents: curves, confusion matrix, fronts, predictions.

matplotlib is imported only where something is drawn, and its global state is never touched.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..fonts import chinese_fonts, warn_of_missing
from .numbers import pareto, percent, shorten
from .places import Box, place_labels

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .rows import Row

TRAIN, VAL, FRONT, WRONG, FAINT = "#E69F00", "#0072B2", "#009E73", "#D55E00", "#8a8f98"
"""Okabe-Ito colours: told apart by people who don't see red and green alike."""

MADE = {"Software": "strop"}
"""What a PNG says of itself, so that no other one is ever replaced."""


@contextmanager
def canvas(
    path: Path, width: float, height: float, panels: int = 1, *, grow: bool = False
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of `panels` axes side by side, in inches, written to `path` at the end; it may `grow` for long names."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style = {
        "font.family": ["DejaVu Sans", *chinese_fonts()],
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#555b66",
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "legend.frameon": False,
        "axes.unicode_minus": False,
    }
    with _one_font_warning(), rc_context(style):
        figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1, wspace=0.03)
        FigureCanvasAgg(figure)
        yield figure, list(figure.subplots(1, panels, squeeze=False)[0])
        figure.savefig(path, facecolor="white", bbox_inches="tight" if grow else None, pad_inches=0.12, metadata=MADE)
        figure.clear()


@contextmanager
def _one_font_warning() -> Iterator[None]:
    """matplotlib warns once for every missing glyph; one sentence with the remedy is enough."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    others = [warning for warning in caught if not str(warning.message).startswith("Glyph ")]
    for warning in others:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if len(others) < len(caught):
        warn_of_missing()


def draw_grid(axes: Axes) -> None:
    """Faint lines behind what is drawn."""
    axes.grid(True, color="#e4e6ea", linewidth=0.8)
    axes.set_axisbelow(True)


def train_details(metrics: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Loss, accuracy and recall over the epochs; the epoch with the best validation accuracy is marked.

    Args:
        metrics: the lines of metrics.jsonl.
    """
    epochs = [line["epoch"] for line in metrics]
    best = best_epoch(metrics)
    with canvas(path, 13, 3.8, panels=3) as (_, panels):
        for axes, name, scale in zip(panels, ("loss", "accuracy", "recall"), (1, 100, 100), strict=True):
            for split, colour, style in (("train", TRAIN, "--"), ("val", VAL, "-")):
                values = [(line.get(split) or {}).get(name) for line in metrics]
                if any(value is not None for value in values):
                    axes.plot(
                        epochs,
                        [float("nan") if v is None else scale * v for v in values],
                        style,
                        color=colour,
                        linewidth=1.8,
                        label={"train": "training", "val": "validation"}[split],
                        marker="o" if len(epochs) < 3 else None,
                    )
            if best is not None:
                axes.axvline(best, color=FAINT, linewidth=1, linestyle=":", label=f"best epoch: {best}")
            axes.set(
                title=name.capitalize(),
                xlabel="epoch",
                ylabel={"loss": "loss", "recall": "macro recall, %"}.get(name, "accuracy, %"),
            )
            axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
            draw_grid(axes)
            if axes.lines:
                axes.legend(loc="best", fontsize=9)


def best_epoch(metrics: Sequence[Mapping[str, Any]]) -> int | None:
    """The first epoch with the highest validation accuracy; None without validation."""
    scored = [
        (line["val"]["accuracy"], -line["epoch"])
        for line in metrics
        if (line.get("val") or {}).get("accuracy") is not None
    ]
    return -max(scored)[1] if scored else None


def confusion_matrix(confusion: Sequence[Sequence[int]], classes: Sequence[str], path: Path, title: str) -> None:
    """Counts with true classes as rows and predicted ones as columns; the shade is the share of the true class.

    Shape:
        confusion: (K, K) counts, K >= 2. classes: K names.
    """
    k = len(classes)
    inches = min(22.0, max(4.6, 2.2 + 0.48 * k)) if k <= 30 else min(22.0, 4 + 0.17 * k)
    fits = 0.62 * (inches - 2.2) / k * 72  # points a cell has for its text
    names = [shorten(name, 24) for name in classes]
    shares = [[100 * n / max(1, sum(row)) for n in row] for row in confusion]
    with canvas(path, inches + 0.8, inches, grow=True) as (figure, (axes,)):
        picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
        text_size = max(4.0, min(10.0, fits / max(1.8, 0.62 * max(len(str(n)) for row in confusion for n in row))))
        for i, row in enumerate(confusion):
            for j, n in enumerate(row):
                if n:
                    axes.text(
                        j,
                        i,
                        str(n),
                        ha="center",
                        va="center",
                        fontsize=text_size,
                        color="white" if shares[i][j] > 55 else "#1c2430",
                    )
        label_size = max(4.5, min(10.0, 1.15 * fits))
        axes.set_xticks(
            range(k),
            names,
            rotation=90 if k > 12 else 45,
            ha="center" if k > 12 else "right",
            rotation_mode="anchor" if k <= 12 else "default",
            fontsize=label_size,
            parse_math=False,
        )
        axes.set_yticks(range(k), names, fontsize=label_size, parse_math=False)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set(xlabel="predicted class", ylabel="true class")
        axes.set_title(title, parse_math=False)
        bar = figure.colorbar(picture, ax=axes, fraction=0.046, pad=0.02)
        bar.set_label("share of the true class, %")
        bar.outline.set_visible(False)


def fronts(rows: Sequence[Row], path: Path) -> None:
    """Accuracy against size and against latency; the line joins the rows that no other row beats."""
    measured = [row for row in rows if row.accuracy is not None]
    with canvas(path, 13, 5.2, panels=2) as (figure, panels):
        _front(panels[0], measured, [row.bytes / 1e6 for row in measured], "size, MB")
        timed = [row for row in measured if row.p50]
        _front(panels[1], timed, [row.p50 for row in timed], "latency p50 at batch 1, ms")
        figure.canvas.draw()
        for axes, shown in zip(panels, (measured, timed), strict=True):
            _label(axes, [row.id for row in shown])


def _front(axes: Axes, rows: Sequence[Row], costs: Sequence[float], cost: str) -> None:
    axes.set(xlabel=cost, ylabel="accuracy, %", title=f"Accuracy against {cost.partition(',')[0]}")
    draw_grid(axes)
    if not rows:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=FAINT)
        return
    gains = [100 * row.accuracy for row in rows]
    on_front = pareto(list(zip(costs, gains, strict=True)))
    axes.plot(
        [costs[i] for i in on_front],
        [gains[i] for i in on_front],
        color=FRONT,
        linewidth=1.4,
        zorder=2,
        drawstyle="steps-post",
        label="front: no row is better in both",
    )
    spread = [
        [row.accuracy - row.interval[0] if row.interval else 0 for row in rows],
        [row.interval[1] - row.accuracy if row.interval else 0 for row in rows],
    ]
    axes.errorbar(
        costs,
        gains,
        yerr=[[100 * max(0, v) for v in side] for side in spread],
        fmt="none",
        ecolor="#b4b9c2",
        elinewidth=1,
        capsize=3,
        zorder=1,
    )
    axes.scatter(
        costs,
        gains,
        s=44,
        zorder=3,
        edgecolor="white",
        linewidth=0.8,
        color=[FRONT if i in on_front else VAL for i in range(len(rows))],
    )
    if max(costs) > 4 * min(costs):
        axes.set_xscale("log")
        log_ticks(axes.xaxis, (1, 2, 5) if max(costs) < 1000 * min(costs) else (1,))
    axes.margins(x=0.12)
    axes.legend(loc="lower right", fontsize=9)


def log_ticks(axis: Any, steps: Sequence[int]) -> None:
    """Plain numbers at these multiples of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _label(axes: Axes, names: Sequence[str]) -> None:
    """Write names beside their points where they hide neither a point nor another name."""
    dots = [collection for collection in axes.collections if hasattr(collection, "get_sizes")]
    if not names or not dots:
        return
    renderer = axes.figure.canvas.get_renderer()
    points = [tuple(point) for point in axes.transData.transform(dots[-1].get_offsets())]
    texts = [
        axes.annotate(
            name, (0, 0), xycoords="figure pixels", fontsize=9, parse_math=False, zorder=4, annotation_clip=False
        )
        for name in names
    ]
    sizes = [(box.width, box.height) for box in (text.get_window_extent(renderer) for text in texts)]
    frame = axes.get_window_extent(renderer)
    places = place_labels(points, sizes, Box(frame.x0, frame.y0, frame.x1, frame.y1), gap=10)
    for text, place in zip(texts, places, strict=True):
        text.set_in_layout(False)
        if place is None:
            text.remove()
        else:
            text.xy = text.xyann = place
            text.set_position(place)


def prediction_grid(pictures: Sequence[np.ndarray], predictions: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Pictures with predicted class and probability; where the truth is known, wrong ones are framed and say it.

    Args:
        pictures: uint8, (C, H, W) with C = 1 or 3; at most the first 64 are drawn.
        predictions: `class`, `probability` in [0, 1] and, where known, `truth`, one for each picture.
    """
    shown = list(zip(pictures, predictions, strict=True))[:64]
    ratio = shown[0][0].shape[2] / shown[0][0].shape[1] if shown else 1.0
    columns = min(max(1, round(8 / ratio)), max(1, len(shown)))
    lines = max(1, -(-len(shown) // columns))
    with canvas(path, max(3.0, 1.7 * ratio * columns), 2.15 * lines + 0.3) as (figure, (first,)):
        first.remove()
        grid = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes in grid:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        for axes, (picture, said) in zip(grid, shown, strict=False):
            axes.imshow(picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=255)
            is_wrong = said.get("truth", said["class"]) != said["class"]
            text = f"{shorten(said['class'], 18)} {percent(said['probability'], 0)} %"
            axes.set_title(
                text + (f"\ntrue: {shorten(said['truth'], 18)}" if is_wrong else ""),
                fontsize=8,
                color=WRONG if is_wrong else "black",
                parse_math=False,
            )
            axes.spines[:].set(visible=is_wrong, color=WRONG, linewidth=2)
        if len(shown) < len(pictures):
            figure.supxlabel(f"the first {len(shown)} of {len(pictures):,} pictures", fontsize=9)
