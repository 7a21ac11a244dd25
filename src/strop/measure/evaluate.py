"""Run a classifier over a split and count."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from .metrics import score


@torch.inference_mode()
def evaluate(predict: Callable[[Tensor], Tensor], loader, classes: Sequence[str]) -> dict:
    """Scores of `predict` on every picture of the loader, each counted once.

    Args:
        predict: uint8 (B, C, H, W) to logits or log-probabilities (B, K).
        loader: unshuffled, unaugmented (`loader.epoch(0)`).
    Returns:
        `metrics.score` plus "loss", the mean cross-entropy in nats.
    """
    count = len(classes)
    confusion = np.zeros((count, count), dtype=np.int64)
    loss = 0.0
    for batch in loader.epoch(0):
        logits = predict(batch.images).float().cpu()
        loss += float(torch.nn.functional.cross_entropy(logits, batch.targets, reduction="sum"))
        cells = batch.targets * count + logits.argmax(1)
        confusion += torch.bincount(cells, minlength=count * count).view(count, count).numpy()
    return {**score(confusion, classes), "loss": loss / int(confusion.sum())}
