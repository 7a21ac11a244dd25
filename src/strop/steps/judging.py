"""What stands beside the scores of an evaluation: without copies, with answers withheld, against other pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..data.dataset import Data
from ..data.leaks import find_copies
from ..errors import UserError
from ..measure.abstaining import Fold, Said, conformal_sets, halves, threshold_table
from ..measure.answers import Answers
from ..measure.metrics import wilson
from ..measure.outliers import outlier_scores, separation
from ..runs import Run
from .columns import Column
from .computing import evaluation_loader
from .data import reopen
from .step import log
from .subjects import Subject, open_split

MOST_OUTLIERS = 10_000


def trained_on(parent: Run, data: Data, *, same: bool) -> Data | None:
    """The data that a model was trained on; None, with a warning, where they can't be opened any more."""
    if same:
        return data
    try:
        return reopen(parent)
    except UserError as error:
        log.warning("copies of training pictures were not searched: %s", error)
        return None


def judge(columns: list[Column], data: Data, training: Data | None) -> None:
    """Add `abstaining` to the entries of the best weights on val and test, and to that on test `without_copies`.

    Not to that on val: it was chosen without near copies, and to search for them decodes every picture once.

    Args:
        training: what the model was trained on.
    """
    best = [column for column in columns if column.scores["checkpoint"] != "last"]
    chosen_on = next((column for column in best if column.scores["split"] == "val"), None)
    for column in best:
        split = column.scores["split"]
        if split == "test" and training is not None:
            column.scores["without_copies"] = without_copies(column.answers, training, data, split)
        if split != "train" and chosen_on is not None and len(chosen_on.answers.kept) > 1:
            column.scores["abstaining"] = abstaining(chosen_on, column)


def without_copies(answers: Answers, training: Data, data: Data, split: str) -> dict:
    """The accuracy on the pictures that have no copy among the training pictures."""
    copies = find_copies(training, data, split)
    left = ~copies.any
    n, right = int(left.sum()), int(answers.right[left].sum())
    return {
        "exact": int(copies.exact.sum()),
        "near": None if copies.near is None else int(copies.near.sum()),
        "n": n,
        "accuracy": right / n if n else None,
        "accuracy_interval": wilson(right, n) if n else None,
    }


def abstaining(chosen_on: Column, column: Column) -> dict:
    """Thresholds and conformal sets that were chosen on one column, measured on another, or by halves on itself."""
    temperature = chosen_on.scores["temperature"]
    before, after = _said(chosen_on.answers, temperature), _said(column.answers, temperature)
    folds = halves(before) if column is chosen_on else [Fold(before, after)]
    return {
        "chosen_on": "other half of val" if column is chosen_on else "val",
        "temperature": temperature,
        "thresholds": threshold_table(folds),
        "conformal": conformal_sets(folds),
    }


def _said(answers: Answers, temperature: float) -> Said:
    probabilities = (torch.from_numpy(answers.logits) / temperature).softmax(1).numpy()
    return Said(probabilities, answers.targets[answers.kept])


def against_outliers(subject: Subject, inside: Column, data: Data, split: str, seed: int) -> dict:
    """The `outliers` block: how well confidence and energy tell the pictures of `inside` from other data."""
    part = data.some(split, MOST_OUTLIERS, seed)
    outside = _answer(subject, open_split(part, split, subject.preprocess))
    here, there = (outlier_scores(z, has_logits=subject.gives_logits) for z in (inside.answers.logits, outside))
    return {
        "data": data.source.name,
        "fingerprint": data.fingerprint,
        "split": inside.scores["split"],
        "n": len(inside.answers.logits),
        "n_outliers": len(outside),
        "scores": [{"score": name, **separation(here[name], there[name])} for name in here],
    }


@torch.inference_mode()
def _answer(subject: Subject, pictures: Any) -> np.ndarray:
    loader = evaluation_loader(pictures)
    return np.concatenate([subject(batch.images).float().cpu().numpy() for batch in loader.epoch(0)])
