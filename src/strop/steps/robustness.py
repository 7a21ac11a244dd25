"""The `robustness` block of an evaluation: corruptions, other sizes, flips."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..data.dataset import Data
from ..data.load import pictures
from ..measure.corruptions.strengths import TABLES, table_of
from ..measure.robustness import answer_changed, corruptions, flips, mean_accuracy
from ..models.classifier import Classifier
from .computing import evaluation_loader
from .subjects import Subject, open_split

MOST_PICTURES = 5_000  # each is answered 75 times


def measure_robustness(
    subject: Subject, data: Data, split: str, *, corrupt: bool, flip: bool, sizes: tuple[int, ...], seed: int
) -> dict[str, Any]:
    """Accuracy of the best weights on changed pictures, at most 5,000 of the split, chosen by chance."""
    part = data.some(split, MOST_PICTURES, seed)
    loader = evaluation_loader(open_split(part, split, subject.preprocess))
    changes = (corruptions(seed) if corrupt else {}) | (flips() if flip else {})
    found = answer_changed(subject, loader, changes)
    rows = [{"corruption": c[0], "strength": c[1], **found[c]} for c in found if isinstance(c, tuple)]
    plain = {name: value for name, value in found[None].items() if name != "agreement"}
    return {
        "split": split,
        "n": len(part.splits[split]),
        **plain,
        **(_summary(rows, subject.preprocess.input_size) if corrupt else {}),
        **({"flips": [{"flip": name, **found[name]} for name in found if isinstance(name, str)]} if flip else {}),
        **({"sizes": [_at_size(subject, part, split, size) for size in sizes]} if sizes else {}),
    }


def _summary(rows: list[dict[str, Any]], side: int) -> dict[str, Any]:
    accuracy = mean_accuracy(rows)
    return {
        "corruptions": rows,
        "corrupted_accuracy": accuracy,
        "mean_corruption_error": 1 - accuracy,
        "strengths": TABLES[table_of(side)],
    }


def _at_size(subject: Subject, data: Data, split: str, size: int) -> dict[str, Any]:
    """Pictures cut and scaled to another size, for the same weights; nulls where the network does not take it."""
    model = subject.model
    other = Classifier(model.net, replace(model.preprocess, input_size=size), model.classes).to(model.scale.device)
    shown = pictures(data, split, size=size, channels=model.preprocess.channels)
    try:
        found = answer_changed(lambda images: other(images.to(other.scale.device)), evaluation_loader(shown), {})[None]
    except (RuntimeError, AssertionError, ValueError) as error:
        note = f"the network does not take this size ({str(error).partition(chr(10))[0][:200]})"
        return {"size": size, "accuracy": None, "accuracy_interval": None, "note": note}
    return {"size": size, "accuracy": found["accuracy"], "accuracy_interval": found["accuracy_interval"]}
