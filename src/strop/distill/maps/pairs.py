"""Which stage of the student learns from which of the teacher, and maps of two sizes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ...errors import UserError
from ...models.classifier import Classifier
from ...models.maps import End, stage_ends


class Pairs(NamedTuple):
    """A loss on maps with its name, and the modules whose outputs it looks at, in the order of the pairs."""

    name: str
    loss: nn.Module
    ours: list[str]
    theirs: list[str]


def pair_up(name: str, loss: nn.Module, student: Classifier, teacher: Classifier, generator: torch.Generator) -> Pairs:
    """Find the stages that the loss names in both networks, and let it make its adapters.

    Args:
        name: of the loss, for messages.
        generator: of the adapters' first values.
    Raises:
        UserError: a stage that a network does not have, or unequal numbers of stages.
    """
    ends = [_ends(model) for model in (student, teacher)]
    words = [loss.student, loss.student if loss.teacher == "same" else loss.teacher]
    sides = ("student", "teacher")
    chosen = [_choose(f"{name}: {side}", word, found) for side, word, found in zip(sides, words, ends, strict=True)]
    ours, theirs = chosen
    if len(ours) != len(theirs):
        raise UserError(
            f"distill {name}",
            f"student names {len(ours)} stages ({', '.join(ours)}) and teacher {len(theirs)} ({', '.join(theirs)}). "
            f"Pair them up, for example {name}:student={'/'.join([*ours][-1:])},teacher={'/'.join([*theirs][-1:])}.",
        )
    loss.fit([(s.channels, t.channels) for s, t in zip(ours.values(), theirs.values(), strict=True)], generator)
    paths = ([f"net.{end.path}" for end in found.values()] for found in chosen)
    return Pairs(name, loss.to(student.scale.device), *paths)


def _ends(model: Classifier) -> dict[str, End]:
    blank = torch.zeros(2, *model.preprocess.shape, dtype=torch.uint8, device=model.scale.device)
    return stage_ends(model.net, len(model.classes), model.normalize(blank))


def _choose(where: str, word: str, ends: dict[str, End]) -> dict[str, End]:
    layers: Iterable[str] = [stage for stage in ends if stage != "stem"]
    names = {"last": [*ends][-1:], "all": layers}.get(word, word.split("/"))
    for name in names:
        if name not in ends:
            known = ", ".join(ends)
            raise UserError(f"distill {where}", f"'{name}' is no stage with a map. Write last, all, or of: {known}.")
    return {name: ends[name] for name in names}


def same_size(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float32 at the smaller height and width, the larger by an adaptive mean. Shape: (B, C, H, W) each."""
    size = tuple(map(min, ours.shape[2:], theirs.shape[2:]))
    ours, theirs = (
        F.adaptive_avg_pool2d(m, size) if m.shape[2:] != size else m for m in (ours.float(), theirs.float())
    )
    return ours, theirs
