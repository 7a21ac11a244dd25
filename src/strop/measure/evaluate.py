"""Run a classifier over a split and count."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..launch import ALONE
from .metrics import score


@torch.inference_mode()
def evaluate(predict: Callable[[Tensor], Tensor], loader, classes: Sequence[str], *, ranks=ALONE) -> dict:
    """Scores of `predict` on every picture of the loader, each counted once.

    Of several processes each measures every size-th batch, without padding. The batches, and the order in which their
    losses are added, are those of one process, and so is every bit of the result.

    Args:
        predict: uint8 (B, C, H, W) to logits or log-probabilities (B, K).
        loader: unshuffled, unaugmented (`loader.epoch(0, start, every)`).
        ranks: the processes that measure together, from `launch.here`.
    Returns:
        `metrics.score` plus "loss", the mean cross-entropy in nats.
    """
    count = len(classes)
    confusion = np.zeros((count, count), dtype=np.int64)
    losses = np.zeros(len(loader))
    for number, batch in zip(
        range(ranks.rank, len(loader), ranks.size), loader.epoch(0, ranks.rank, ranks.size), strict=True
    ):
        logits = predict(batch.images).float().cpu()
        losses[number] = float(torch.nn.functional.cross_entropy(logits, batch.targets, reduction="sum"))
        cells = batch.targets * count + logits.argmax(1)
        confusion += torch.bincount(cells, minlength=count * count).view(count, count).numpy()
    confusion, losses = ranks.add(confusion), ranks.add(losses)
    return {**score(confusion, classes), "loss": sum(losses.tolist()) / int(confusion.sum())}
