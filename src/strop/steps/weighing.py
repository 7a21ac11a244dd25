"""The weights and responses of runs: figures, charts, and weights.json."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import artifact
from ..data.load import pictures as open_pictures
from ..errors import UserError
from ..measure.responses import response_sds
from ..measure.weights import describe_weights
from ..models.classifier import Classifier
from ..report.weight_charts import write_charts
from ..runs import Run, write_json
from .data import reopen

BATCH = 64


def weigh(run: Run, other: Run | None, folder: Path, *, pictures: int) -> dict[str, Any]:
    """Describe one run's weights, or two runs' side by side, and write it all into a new folder.

    Args:
        pictures: how many of each run's validation pictures its layers respond to, spread evenly over them.
    Raises:
        UserError: a run holds no float model, or a damaged one.
    """
    runs = [found for found in (run, other) if found is not None]
    names = [found.id for found in runs]
    if len(set(names)) < len(names):
        names = [str(found.folder) for found in runs]
    notes: list[str] = []
    layers = {name: _describe(found, pictures, notes) for name, found in zip(names, runs, strict=True)}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "weights.json", {"runs": layers, "notes": notes})
    files = [folder / "weights.json", *write_charts(layers, folder)]
    shown = {
        name: [{key: value for key, value in row.items() if key != "histogram"} for row in rows]
        for name, rows in layers.items()
    }
    return {"weights": shown, "notes": notes, "files": [str(file) for file in files]}


def _describe(run: Run, pictures: int, notes: list[str]) -> list[dict]:
    model = artifact.load(run)
    rows = describe_weights(model.net)
    try:
        responses = response_sds(model.net, _batches(run, model, pictures))
    except UserError as error:  # the weights can be described without the pictures
        notes.append(f"{run.id}: no responses, because its pictures can't be had ({error})")
        responses = {}
    return [row | {"response_sd": responses.get(row["name"])} for row in rows]


def _batches(run: Run, model: Classifier, count: int) -> Iterator[Tensor]:
    """Validation pictures, or training pictures where none were held out, as the network takes them."""
    data = reopen(run)
    split = "val" if len(data.splits["val"]) else "train"
    about = model.preprocess
    shown = open_pictures(data, split, size=about.input_size, channels=about.channels)
    chosen = torch.linspace(0, len(shown) - 1, min(count, len(shown))).long()
    for part in chosen.split(BATCH):
        yield model.normalize(shown.batch(part))
