"""One file in several runtimes: the accuracy in each, and the pictures that the first answers otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from ..data.dataset import Data
from ..measure.answers import Answers
from ..measure.evaluate import evaluate
from .computing import evaluation_loader

LISTED = 100
"""Of the pictures that are answered otherwise so many are named."""
SHOWN = ("split", "n", "accuracy", "accuracy_interval", "interval_method")


def measure_runtimes(
    scores: dict[str, Any], answers: Answers, others: Mapping[str, Callable], pictures: Any, data: Data
) -> list[dict[str, Any]]:
    """The `runtimes` block: the runtime of `scores` first, then each of the others.

    Args:
        scores, answers: an entry of `measured`, and the answers that it was made from.
        others: by name the same file in other runtimes, called as `evaluate` calls it.
        pictures: those of the entry, or a loader of them.
    """
    loader = pictures if hasattr(pictures, "epoch") else evaluation_loader(pictures)
    first, split, names = scores["runtime"], scores["split"], data.names(scores["split"])
    found = [_describe(first, scores)]
    for runtime, predict in others.items():
        said = Answers(len(answers), len(data.classes))
        there = evaluate(predict, loader, data.classes, answers=said)
        differ = np.flatnonzero(said.predicted != answers.predicted).tolist()
        listed = [
            {
                "index": place,
                "name": names[place],
                "true": data.classes[answers.targets[place]],
                first: data.classes[answers.predicted[place]],
                runtime: data.classes[said.predicted[place]],
            }
            for place in differ[:LISTED]
        ]
        about = {"disagreements": {"to": first, "count": len(differ), "listed": listed}}
        found.append(_describe(runtime, there | {"split": split}) | about)
    return found


def _describe(runtime: str, scores: dict[str, Any]) -> dict[str, Any]:
    version = import_module(runtime).__version__.partition("-")[0]
    return {"name": runtime, "version": version} | {name: scores[name] for name in SHOWN if name in scores}
