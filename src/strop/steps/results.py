"""The blocks of result.json."""

from __future__ import annotations

from typing import Any

import safetensors.torch

from ..launch import ALONE, here
from ..measure.complexity import complexity
from ..measure.conventions import footprint
from ..measure.evaluate import evaluate
from ..models.classifier import Classifier
from ..runs import Run, file_hash
from .looks import fingerprint
from .training import evaluation_loader


def describe_model(run: Run, model: Classifier, name: str, trained: list[str]) -> dict:
    """The `model` block of a float run."""
    return {
        "name": name,
        "trained": trained,
        "input_size": list(model.preprocess.shape),
        **complexity(model.net, model.preprocess.shape),
        "total_size": footprint(model.net, model.preprocess.shape),
        **describe_file(run),
    }


def describe_file(run: Run) -> dict:
    path = run.model_file
    return {"file": path.name, "bytes": path.stat().st_size, "hash": run.model_hash()}


def measured(
    run: Run,
    predict: Any,
    pictures: Any,
    data: Any,
    *,
    split: str,
    runtime: str,
    checkpoint: str | None = None,
    ranks=ALONE,
    record: Any = None,
) -> dict:
    """One entry of `measured`: scores of `predict` on a split, bound to the file and the data; `record` as there."""
    path = run.model_file
    return {
        "split": split,
        "checkpoint": checkpoint,
        "runtime": runtime,
        "file": path.name,
        "hash": run.model_hash(),
        "data": data.fingerprint,
        "pictures": fingerprint(data, split),
        "classes": list(data.classes),
        **evaluate(predict, evaluation_loader(pictures), data.classes, ranks=ranks, record=record),
    }


def measure_best_and_last(run: Run, model: Classifier, val: Any, data: Any) -> list[dict]:
    """Both checkpoints on validation; none where nothing was held out."""
    if val is None:
        return []
    best = measured(run, model, val, data, split="val", runtime="torch", checkpoint="best", ranks=here())
    weights = run.folder / "checkpoints" / "last.safetensors"
    state = {name: tensor.clone() for name, tensor in model.net.state_dict().items()}
    model.net.load_state_dict(safetensors.torch.load_file(weights))
    last = measured(run, model, val, data, split="val", runtime="torch", checkpoint="last", ranks=here())
    model.net.load_state_dict(state)
    return [best, last | {"file": "checkpoints/last.safetensors", "hash": file_hash(weights)}]


def describe_training(facts: dict) -> dict:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in facts.items()}
