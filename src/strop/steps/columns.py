"""What an evaluation measures: train, validation and test side by side, of the best and the last weights."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..data.dataset import Data
from ..measure.answers import Answers
from ..measure.predictions import write_predictions
from ..runs import Run
from .results import last_file, last_weights, measure, name_last
from .subjects import Subject, open_split
from .temperature import temperature_of

SPLITS = ("train", "val", "test")


class Column(NamedTuple):
    """One entry of `measured`, and the answers behind it."""

    scores: dict[str, Any]
    answers: Answers


def splits_beside(split: str, data: Data, *, train: int, alone: bool) -> tuple[str, ...]:
    """The splits that are measured for `split`, that one first: those that it must be compared with.

    Args:
        train: pictures of train, 0 for none.
        alone: only the split itself, where the data are not those of the training.
    """
    if alone:
        return (split,)
    before = [name for name in SPLITS[: SPLITS.index(split)] if len(data.splits[name])]
    return (split, *(name for name in reversed(before) if name != "train" or train))


def measure_columns(
    run: Run, parent: Run, subject: Subject, data: Data, splits: tuple[str, ...], *, train: int
) -> list[Column]:
    """Measure each split with the best weights and, where a training left them, the last ones.

    The predictions of the best go into files: predictions.parquet those of the first split, predictions-SPLIT.parquet
    the others.

    Args:
        train: at most so many training pictures, chosen by chance, where they stand beside others.
    """
    found: list[Column] = []
    temperatures = {"best": temperature_of(parent)}
    checkpoints = _checkpoints(parent, subject)
    for split in sorted(splits, key=("val", "test", "train").index):
        part = data.some(split, train) if split == "train" and len(splits) > 1 else data
        shown = open_split(part, split, subject.preprocess)
        of = {"of": len(data.splits[split])} if part is not data else {}
        file = run.folder / ("predictions.parquet" if split == splits[0] else f"predictions-{split}.parquet")
        about = {"split": split, "runtime": subject.runtime, **of}
        if subject.temperature is not None:
            about["file_temperature"] = subject.temperature
        for checkpoint in checkpoints:
            about |= {"checkpoint": checkpoint, "temperature": temperatures.get(checkpoint or "best")}
            if checkpoint != "last":
                with write_predictions(file, part.names(split), part.labels(split), part.classes) as record:
                    scores, answers = measure(parent, subject, shown, part, **about, record=record)
                scores["predictions"] = file.name
            else:
                with last_weights(parent, subject.model.net):
                    scores, answers = measure(parent, subject, shown, part, **about)
                scores |= name_last(parent)
            temperatures[checkpoint or "best"] = scores.get("temperature")
            found.append(Column(scores, answers))
    return sorted(found, key=lambda column: splits.index(column.scores["split"]))


def _checkpoints(parent: Run, subject: Subject) -> tuple[str | None, ...]:
    """Best and last, where a training left both."""
    if subject.model is None or parent.record["verb"] not in ("train", "prune"):
        return (None,)
    return ("best", "last") if last_file(parent).is_file() else ("best",)
