"""What a page shows of each model beyond its row: the JSON files of its folder and of its parent's, read once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..runs import parse_json, read_metrics
from .folders import look_around

if TYPE_CHECKING:
    from .rows import Row

MOST_BYTES = 64_000_000
"""Of a file that is larger nothing is shown."""


class Model(NamedTuple):
    """A row and what lies in its folder; a file that is not there, or damaged, is empty."""

    number: int
    row: Row
    metrics: list[dict[str, Any]]
    result: dict[str, Any]
    data: dict[str, Any]
    weights: list[dict[str, Any]]
    before: list[dict[str, Any]]
    """The parent's weights."""
    evaluations: list[tuple[Path, dict[str, Any]]]
    """Folders of `strop evaluate` on this model, with their results."""


def read_models(rows: Sequence[Row]) -> list[Model]:
    around = [folder for folder in look_around([row.folder for row in rows], []) if folder.verb == "evaluate"]
    return [
        Model(
            number,
            row,
            read_metrics(row.metrics),
            read_object(row.folder / "result.json"),
            read_object(row.folder / "data.json"),
            read_weights(row.folder),
            read_weights(parent_folder(row)),
            [(folder.path, folder.result) for folder in around if folder.parent_hash in row.hashes],
        )
        for number, row in enumerate(rows)
    ]


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object; {} where there is none that can be read."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return {}
        found = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def parent_folder(row: Row) -> Path | None:
    """Where run.json says that the parent is, if it still is that model."""
    link = row.parents.get("parent") or {}
    if not isinstance(link.get("path"), str):
        return None
    folder = (row.folder / link["path"]).resolve()
    model = read_object(folder / "result.json").get("model")
    return folder if isinstance(model, dict) and model.get("hash") == link.get("hash") else None


def read_weights(folder: Path | None) -> list[dict[str, Any]]:
    """The layers in the folder's weights.json that have a histogram."""
    runs = read_object(folder / "weights.json").get("runs") if folder else None
    layers = next(iter(runs.values()), None) if isinstance(runs, dict) else None
    return [layer for layer in layers if _is_drawable(layer)] if isinstance(layers, list) else []


def _is_drawable(layer: Any) -> bool:
    histogram = layer.get("histogram") if isinstance(layer, dict) else None
    return (
        isinstance(histogram, dict)
        and all(isinstance(layer.get(key), kind) for key, kind in (("name", str), ("n", int)))
        and all(isinstance(histogram.get(key), int | float) for key in ("from", "to"))
        and histogram["from"] < histogram["to"]
        and isinstance(histogram.get("counts"), list)
        and len(histogram["counts"]) > 0
        and all(isinstance(count, int) for count in histogram["counts"])
    )
