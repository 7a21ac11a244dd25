"""The blocks of result.json."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..launch import ALONE, here
from ..measure.answers import Answers
from ..measure.bootstrap import intervals
from ..measure.calibration import fit_temperature, scores_at
from ..measure.complexity import complexity
from ..measure.conventions import footprint
from ..measure.evaluate import evaluate
from ..measure.temperature import trusted
from ..measure.weights import outline_weights
from ..models.classifier import Classifier
from ..runs import Run, file_hash, write_json
from ..train.checkpoint import read_tensors
from .computing import evaluation_loader
from .looks import fingerprint
from .options import TrainingOptions
from .parts import written_optimizer


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


def note_weights(run: Run, model: Classifier) -> None:
    """Write weights.json: how the weights of each layer are spread, for the report to lay over the parent's."""
    write_json(run.folder / "weights.json", {"runs": {run.id: outline_weights(model.net)}, "notes": []})


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
) -> dict:
    """One entry of `measured`: scores of `predict` on a split, bound to the file and the data."""
    about = {"split": split, "checkpoint": checkpoint, "runtime": runtime}
    return measure(run, predict, pictures, data, **about, ranks=ranks)[0]


def measure(
    run: Run,
    predict: Any,
    pictures: Any,
    data: Any,
    *,
    split: str,
    ranks=ALONE,
    record: Any = None,
    temperature: float | None = None,
    **about: Any,
) -> tuple[dict, Answers]:
    """An entry of `measured`, and the answers that it was made from; `record` as in `evaluate`.

    Args:
        pictures: those of the split, or a loader of them.
        temperature: fitted on other pictures; on validation pictures it is fitted here.
    """
    path, answers = run.model_file, Answers(len(data.splits[split]), len(data.classes))
    loader = pictures if hasattr(pictures, "epoch") else evaluation_loader(pictures)
    scores = evaluate(predict, loader, data.classes, ranks=ranks, record=record, answers=answers)
    answers.gather(ranks)
    targets = answers.targets[answers.kept]
    if split == "val":
        temperature = trusted(fit_temperature(answers.logits, targets))
    return {
        "split": split,
        **about,
        "file": path.name,
        "hash": run.model_hash(),
        "data": data.fingerprint,
        "pictures": fingerprint(data, split),
        "classes": list(data.classes),
        **scores,
        **intervals(answers),
        **(
            {"temperature": temperature, "calibrated": scores_at(answers.logits, targets, temperature)}
            if temperature is not None
            else {}
        ),
    }, answers


def measure_best_and_last(run: Run, model: Classifier, val: Any, data: Any) -> list[dict]:
    """Both checkpoints on validation; none where nothing was held out."""
    if val is None:
        return []
    best = measured(run, model, val, data, split="val", runtime="torch", checkpoint="best", ranks=here())
    with last_weights(run, model.net):
        last = measured(run, model, val, data, split="val", runtime="torch", checkpoint="last", ranks=here())
    return [best, last | name_last(run)]


@contextmanager
def last_weights(run: Run, net: Any) -> Iterator[None]:
    """Within the block the network of a run has the weights of the last epoch instead of the best."""
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.load_state_dict(read_tensors(last_file(run)))
    try:
        yield
    finally:
        net.load_state_dict(state)


def last_file(run: Run) -> Path:
    """The weights of the last epoch; only training leaves them."""
    return run.checkpoints / "last.safetensors"


def name_last(run: Run) -> dict:
    """How an entry of `measured` says that it is about them."""
    return {"file": "checkpoints/last.safetensors", "hash": file_hash(last_file(run))}


def describe_training(facts: dict, *trained: TrainingOptions) -> dict:
    """The `training` block; `trained` are the options of each phase, whose optimizers it names."""
    rounded = {name: round(value, 6) if isinstance(value, float) else value for name, value in facts.items()}
    return {"optimizer": " + ".join(dict.fromkeys(written_optimizer(one.optimizer) for one in trained)), **rounded}
