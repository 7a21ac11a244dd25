"""Train, validation and test side by side, as text for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from .numbers import DASH, names

ORDER = ("train", "val", "test")
_ROWS = (
    ("accuracy %", "accuracy", 100, 2),
    ("macro F1 %", "macro_f1", 100, 2),
    ("NLL", "loss", 1, 3),
    ("Brier", "brier", 1, 3),
    ("ECE", "ece", 1, 3),
)
_CALIBRATED = (("NLL", "loss"), ("ECE", "ece"))


def side_by_side(measured: Sequence[Mapping[str, Any]]) -> str:
    """A line for each figure, a column for each entry; then how far training is ahead (the overfit gap).

    Args:
        measured: entries of result.json, in any order.
    """
    columns = sorted(measured, key=lambda entry: ORDER.index(entry["split"]))
    kinds = [str(entry.get("checkpoint") or "") for entry in columns]
    lines = [_line("", [entry["split"] for entry in columns])]
    if any(kinds):
        lines.append(_line("", kinds))
    lines.append(_line("pictures", [f"{entry['n']:,}" for entry in columns]))
    for title, name, scale, digits in _ROWS:
        lines.append(_line(title, [_number(entry.get(name), scale, digits) for entry in columns]))
    scaled = [entry.get("calibrated") or {} for entry in columns]
    if any(scaled):
        in_file = [entry.get("file_temperature") for entry in columns]
        if any(in_file):  # figures above are with it; what is fitted then is a factor on top of it
            lines.append(_line("T in the file", [_number(value, 1, 2) for value in in_file]))
        title = "T on top of it" if any(in_file) else "temperature"
        lines.append(_line(title, [_number(entry.get("temperature"), 1, 2) for entry in columns]))
        for title, name in _CALIBRATED:
            lines.append(_line(f"{title} with it", [_number(found.get(name), 1, 3) for found in scaled]))
    return "\n".join(lines + _gaps(columns))


def remarks(entry: Mapping[str, Any]) -> list[str]:
    """What else an entry says, a line each: classes that are not there, without copies, with answers withheld."""
    lines, found, set_apart = [], entry.get("without_copies"), entry.get("abstaining")
    absent = [row["name"] for row in entry.get("per_class", []) if not row["support"]]
    if absent:
        lines.append(fill(f"no pictures of {names(absent)}: left out of macro figures", 76, subsequent_indent="    "))
    if found and found["exact"] + (found["near"] or 0):
        kinds = f"{found['exact']} exact and {found['near'] or 0} near copies of training pictures"
        lines.append(f"without {kinds}: accuracy {_number(found['accuracy'], 100, 2)} %")
    if found and found["near"] is None:
        lines.append("near copies of training pictures were not searched: there are too many")
    if set_apart:
        row = next(row for row in set_apart["thresholds"] if row["aim"] == 0.9)
        share, accuracy = _number(row["coverage"], 100, 1), _number(row["accuracy"], 100, 2)
        lines.append(f"answering {share} %, confidence {row['threshold']:.2f} and up: accuracy {accuracy} %")
        row = next(row for row in set_apart["conformal"] if (row["method"], row["aim"]) == ("LAC", 0.9))
        coverage = _number(row["coverage"], 100, 1)
        lines.append(f"sets meant to hold 90 %: hold {coverage} %, {row['mean_size']:.2f} classes on average")
    return lines


def on_demand_lines(result: Mapping[str, Any]) -> list[str]:
    """What was asked for besides: other pictures, changed pictures, errors; a line or a few each."""
    lines = outlier_lines(result["outliers"]) if "outliers" in result else []
    if "robustness" in result:
        lines += _robustness(result["robustness"])
    if "explained" in result:
        found = result["explained"]
        pairs = [f"{p['true']} for {p['predicted']} {p['n']} of {p['of']}" for p in found["confused"][:3]]
        lines += [f"mistaken: {pair}" for pair in pairs]
        lines += [f"drawn: {', '.join(found['files'])}"] if found.get("files") else []
        if "note" in found["cam"]:
            lines.append(f"no Grad-CAM: {found['cam']['note']}")
    return lines


def _robustness(found: Mapping[str, Any]) -> list[str]:
    lines = []
    if "corruptions" in found:
        lines.append(f"corrupted, mean of all: accuracy {_number(found['corrupted_accuracy'], 100, 1)} %")
        if "mean_corruption_error" in found:
            error = _number(found["mean_corruption_error"], 100, 1)
            lines.append(f"  mean corruption error {error} %, unnormalised; strengths of {found['strengths']}")
        by_name: dict[str, list[str]] = {}
        for row in found["corruptions"]:
            by_name.setdefault(row["corruption"], []).append(f"{_number(row['accuracy'], 100, 1):>6}")
        lines.append(f"  {'strength':<15}" + "".join(f"{n:>6}" for n in range(1, 6)))
        lines += [f"  {name:<15}" + "".join(cells) for name, cells in by_name.items()]
    flips = [f"{row['flip']} {_number(row['accuracy'], 100, 1)} %" for row in found.get("flips", [])]
    sizes = [f"{row['size']} px {_share(row['accuracy'])}" for row in found.get("sizes", [])]
    lines += [f"flipped: {', '.join(flips)}"] if flips else []
    return lines + [f"at {size}" for size in sizes]


def _share(accuracy: float | None) -> str:
    return "the network does not take them" if accuracy is None else f"{100 * accuracy:.1f} %"


def outlier_lines(found: Mapping[str, Any]) -> list[str]:
    """How well other pictures are told apart, a line for each score."""
    return [
        f"told from {found['n_outliers']:,} pictures of {found['data']} by {row['score']}: AUROC {row['auroc']:.3f}"
        for row in found["scores"]
    ]


def _gaps(columns: Sequence[Mapping[str, Any]]) -> list[str]:
    best = {entry["split"]: entry["accuracy"] for entry in columns if entry.get("checkpoint") != "last"}
    lines = []
    for split in ("val", "test"):
        if "train" in best and split in best:
            gap = 100 * (best["train"] - best[split])
            lines.append(f"overfit gap, train - {split}: {gap:.2f} points")
    return lines


def _line(title: str, cells: Sequence[str]) -> str:
    return f"{title:<15}" + "".join(f" {cell:>9}" for cell in cells)


def _number(value: float | None, scale: float, digits: int) -> str:
    return DASH if value is None else f"{scale * value:.{digits}f}"
