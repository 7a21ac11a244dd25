"""What single blocks and groups of channels are worth: each is left out alone, on validation pictures."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch

from ..data.load import MemoryPictures, Pictures
from ..errors import UserError
from ..launch import here
from ..measure.evaluate import evaluate
from ..models.blocks import influences, removable_blocks, remove_blocks, without
from ..models.classifier import Classifier
from ..models.groups import remove
from ..prune.prune import Ranked, weakest
from ..quantize.calibration import choose_balanced
from ..runs import Run
from .computing import evaluation_loader
from .once import once
from .step import log

JUDGED = 1024  # validation pictures, the same number a class
RATIOS = (0.25, 0.5, 0.75)


def score(model: Callable, pictures: Pictures, classes: tuple[str, ...] | None = None) -> dict:
    """Accuracy and loss, on all processes together."""
    scores = evaluate(model, evaluation_loader(pictures), classes or model.classes, ranks=here())
    return {"accuracy": scores["accuracy"], "loss": scores["loss"]}


def score_before(run: Run, name: str, model: Classifier, val: Pictures | None) -> dict[str, float]:
    """The accuracy that fine-tuning begins with, for result.json, written down as `name`; nothing without pictures."""
    if val is None:
        return {}
    return {"accuracy_before_fine_tuning": once(run, name, lambda: score(model, val)["accuracy"])}


def judges(val: Pictures, seed: int) -> MemoryPictures:
    """About `JUDGED` of the validation pictures, the same number a class."""
    chosen = torch.from_numpy(choose_balanced(val.labels.numpy(), JUDGED, seed=seed))
    return MemoryPictures(val.batch(chosen), val.labels[chosen])


def measure_groups(model: Classifier, ranked: Ranked, val: Pictures, seed: int) -> list[dict]:
    """What it costs to remove the weakest 25, 50 and 75 % of each group's channels, one group at a time."""
    pictures = judges(val, seed)
    log.info("  trying %d groups alone on %d validation pictures", len(ranked.groups), len(pictures))
    whole, rows = score(model, pictures), []
    for group in ranked.groups:
        values = ranked.importance[group.name]
        for ratio in RATIOS:
            gone = weakest(values, min(round(ratio * group.width), group.width - 1))
            double = copy.deepcopy(model)
            remove(double.net, ranked.groups, {group.name: gone})
            found = score(double, pictures)
            rows.append(
                {
                    "group": group.name,
                    "width": group.width,
                    "kept": group.width - len(gone),
                    "ratio": ratio,
                    "n": len(pictures),
                    **found,
                    "accuracy_drop": whole["accuracy"] - found["accuracy"],
                    "loss_rise": found["loss"] - whole["loss"],
                }
            )
    return rows


def choose_blocks(model: Classifier, count: int, by: str, val: Pictures, seed: int) -> list[dict]:
    """Residual blocks to take out, one after the other: each time the one that is missed least by those that stay.

    Args:
        by: "loss": of the network without it; "influence": see `models.blocks.influences`.
    Raises:
        UserError: fewer than `count` can go.
    """
    pictures, rows = judges(val, seed), []
    double = copy.deepcopy(model).eval()
    generator = torch.Generator().manual_seed(seed)
    example = torch.randn(2, *model.preprocess.shape, generator=generator)
    while len(rows) < count:
        names = removable_blocks(double.net, example)
        if not names:
            raise UserError(f"--depth {count}", _too_many(len(rows)))
        tried = _try_blocks(double, names, by, pictures)
        rows.append(min(tried, key=lambda row: row[by]))
        remove_blocks(double.net, [rows[-1]["block"]])
    return rows


def _try_blocks(model: Classifier, names: list[str], by: str, pictures: MemoryPictures) -> list[dict[str, Any]]:
    if by == "loss":
        rows = []
        for name in names:
            with without(model.net, name):
                rows.append({"block": name, **score(model, pictures)})
        return rows
    with influences(model.net, names) as noted, torch.inference_mode():
        for part in torch.arange(len(pictures)).split(256):  # all processes see all pictures: the lists are whole
            model(pictures.batch(part))
    return [{"block": name, "influence": sum(values) / len(values)} for name, values in noted.items()]


def _too_many(possible: int) -> str:
    if not possible:
        return "this network has no residual block whose output has the shape of its input. Leave it out."
    return f"{possible} can go and no more, because each stage keeps a block. Write --depth {possible}, or less."
