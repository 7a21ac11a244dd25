"""PNG charts of weights and responses, of one run or of two laid over each other; drawn from weights.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .charts import FAINT, TRAIN, VAL, canvas, draw_grid, log_ticks
from .numbers import percent, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Layers = Sequence[Mapping[str, Any]]
COLOURS = (VAL, TRAIN)
ON_ONE_PAGE, COLUMNS = 40, 5
STATISTICS = {
    "mean": ("mean", 1, "linear"),
    "sd": ("standard deviation", 1, "log"),
    "kurtosis": ("kurtosis; 3 for a Gaussian", 1, "log"),
    "outliers": ("beyond 4 sd, %", 100, "linear"),
    "near_zero": ("near zero, %", 100, "linear"),
    "int8_bits": ("bits that int8 keeps", 1, "linear"),
}


def write_charts(runs: Mapping[str, Layers], folder: Path) -> list[Path]:
    """All charts that there are figures for; the files, in a folder that is there.

    Args:
        runs: id -> layers as `measure.weights` describes them; the second is laid over the first.
    """
    files = list(histograms(runs, folder))
    statistics(runs, folder / "statistics.png")
    files.append(folder / "statistics.png")
    if any(layer.get("response_sd") is not None for layers in runs.values() for layer in layers):
        responses(runs, folder / "responses.png")
        files.append(folder / "responses.png")
    return files


def histograms(runs: Mapping[str, Layers], folder: Path) -> Iterator[Path]:
    """One panel a layer, 40 a page: how often each weight occurs, on a log scale, so that tails show."""
    names = list(dict.fromkeys(layer["name"] for layers in runs.values() for layer in layers))
    pages = [names[start : start + ON_ONE_PAGE] for start in range(0, len(names), ON_ONE_PAGE)]
    for number, page in enumerate(pages, 1):
        path = folder / ("histograms.png" if len(pages) == 1 else f"histograms-{number}.png")
        columns = min(COLUMNS, len(page))
        lines = -(-len(page) // columns)
        with canvas(path, max(4.0, 2.9 * columns), 2.2 * lines + 0.5) as (figure, (first,)):
            first.remove()
            panels = figure.subplots(lines, columns, squeeze=False).ravel()
            for axes, name in zip(panels, page, strict=False):
                _histogram(axes, name, runs)
            for axes in panels[len(page) :]:
                axes.remove()
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))
        yield path


def _histogram(axes: Axes, name: str, runs: Mapping[str, Layers]) -> None:
    import numpy as np

    title = []
    for (run, layers), colour in zip(runs.items(), COLOURS, strict=False):
        for layer in (layer for layer in layers if layer["name"] == name):
            counted = layer["histogram"]
            edges = np.linspace(counted["from"], counted["to"], len(counted["counts"]) + 1)
            density = np.asarray(counted["counts"]) / (layer["n"] * (edges[1] - edges[0]))
            is_first = not title
            axes.stairs(density, edges, fill=is_first, color=colour, alpha=0.55 if is_first else 1, label=run)
            zeros = f", {percent(layer['zeros'])} % zeros" if layer["zeros"] else ""
            title.append(f"kurtosis {significant(layer['kurtosis'], 2)}{zeros}")
    axes.set_yscale("log")
    axes.set_yticks([], minor=True)
    axes.set_yticks([])
    axes.tick_params(labelsize=7)
    axes.locator_params(axis="x", nbins=4)
    axes.set_title("\n".join([name, *title]), fontsize=7.5, parse_math=False)
    draw_grid(axes)


def statistics(runs: Mapping[str, Layers], path: Path) -> None:
    """The figures of each layer, one below the other, from the input to the output."""
    names = list(dict.fromkeys(layer["name"] for layers in runs.values() for layer in layers))
    with canvas(path, _width(names), 13) as (figure, (first,)):
        first.remove()
        panels = figure.subplots(len(STATISTICS), 1, sharex=True)
        for axes, (key, (label, scale, kind)) in zip(panels, STATISTICS.items(), strict=True):
            _along_layers(axes, names, runs, key, scale)
            axes.set_ylabel(label)
            if kind == "log":
                axes.set_yscale("log")
                log_ticks(axes.yaxis, (1, 2, 3, 5))
            if key == "kurtosis":
                axes.axhline(3, color=FAINT, linewidth=1, linestyle=":")
        _name_layers(panels[-1], names)
        panels[0].legend(loc="best", fontsize=9)


def responses(runs: Mapping[str, Layers], path: Path) -> None:
    """Standard deviations of the layers' responses: the figure 7 of the ResNet paper."""
    known = [layer["name"] for layers in runs.values() for layer in layers if layer.get("response_sd") is not None]
    names = list(dict.fromkeys(known))
    with canvas(path, _width(names), 4.2) as (_, (axes,)):
        _along_layers(axes, names, runs, "response_sd", 1)
        axes.set(title="Layer responses, behind the norm and before the nonlinearity", ylabel="standard deviation")
        axes.set_ylim(bottom=0)
        _name_layers(axes, names)
        axes.legend(loc="best", fontsize=9)


def _along_layers(axes: Axes, names: Sequence[str], runs: Mapping[str, Layers], key: str, scale: float) -> None:
    for (run, layers), colour in zip(runs.items(), COLOURS, strict=False):
        values = {layer["name"]: layer.get(key) for layer in layers}
        line = [float("nan") if values.get(name) is None else scale * values[name] for name in names]
        axes.plot(range(len(names)), line, "o-", color=colour, markersize=3.5, linewidth=1.4, label=run)
    draw_grid(axes)


def _width(names: Sequence[str]) -> float:
    return min(24.0, max(6.5, 1.6 + 0.22 * len(names)))


def _name_layers(axes: Axes, names: Sequence[str]) -> None:
    every = -(-len(names) // 100)
    shown = range(0, len(names), every)
    axes.set_xticks(shown, [names[i] for i in shown], rotation=90, fontsize=7, parse_math=False)
