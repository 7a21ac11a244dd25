"""How many answers stay right when the pictures are changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

import numpy as np
import torch
from torch import Tensor

from .corruptions import CORRUPTIONS, STRENGTHS, corrupt
from .metrics import wilson

FLIPS = {"horizontal": (3,), "vertical": (2,), "both": (2, 3)}
Change = Callable[[Tensor, Tensor], Tensor]


def corruptions(seed: int = 0) -> dict[tuple[str, int], Change]:
    """Every corruption at every strength, by (name, strength): from pictures and their numbers to pictures."""

    def make(name: str, strength: int) -> Change:
        def change(images: Tensor, indices: Tensor) -> Tensor:
            return torch.from_numpy(corrupt(name, images.numpy(), indices.numpy(), strength, seed))

        return change

    return {(name, strength): make(name, strength) for name in CORRUPTIONS for strength in STRENGTHS}


def flips() -> dict[str, Change]:
    """Left to right, upside down, and both, which is a turn by 180 degrees."""
    return {name: lambda images, _, axes=axes: images.flip(axes) for name, axes in FLIPS.items()}


@torch.inference_mode()
def answer_changed(predict: Callable[[Tensor], Tensor], loader, changes: Mapping[Hashable, Change]) -> dict:
    """Accuracy on changed pictures, and how often the answer is that to the unchanged one.

    Args:
        loader: unshuffled, unaugmented; each batch is read once for all changes.
    Returns:
        for each change {"accuracy", "accuracy_interval", "agreement"}, and under None the figures without change.
    """
    hits = dict.fromkeys([None, *changes], 0)
    same, total = dict.fromkeys(hits, 0), 0
    for batch in loader.epoch(0):
        plain = predict(batch.images).cpu().argmax(1)
        total += len(plain)
        for name in hits:
            said = plain if name is None else predict(changes[name](batch.images, batch.indices)).cpu().argmax(1)
            hits[name] += int((said == batch.targets).sum())
            same[name] += int((said == plain).sum())
    return {
        name: {
            "accuracy": hits[name] / total,
            "accuracy_interval": wilson(hits[name], total),
            "agreement": same[name] / total,
        }
        for name in hits
    }


def mean_accuracy(rows: list[dict]) -> float:
    """The mean over corruptions and strengths; 1 minus it is the unnormalised mean corruption error.

    Unlike the mCE of the paper: not divided by the error of another network (AlexNet there).
    """
    return float(np.mean([row["accuracy"] for row in rows]))
