"""What was answered to each picture of a split, in its order: what intervals, calibration and abstaining need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ..launch import ALONE

if TYPE_CHECKING:
    from ..data.load import Batch

MOST_VALUES = 250_000_000  # 1 GB of logits: 25 million pictures of 10 classes, 250,000 of 1,000


class Answers:
    """Truth, answer and scores of N pictures, and the logits of as many as memory allows.

    `evaluate` fills it. Of more pictures than fit, the logits of every second, third, ... are kept, so that a split
    which is sorted by class is still represented.

    Args:
        n: pictures of the split.
        classes: K.
    Shape:
        targets, predicted: (N,) int64. confidence, loss, brier: (N,) float64. logits: (M, K) float32, of the pictures
        `kept` (M,) int64.
    """

    def __init__(self, n: int, classes: int, *, most_values: int = MOST_VALUES):
        self.classes = classes
        self.targets, self.predicted = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.confidence, self.loss, self.brier = (np.zeros(n) for _ in range(3))
        self.every = max(1, -(-n * classes // most_values))
        self.kept = np.arange(0, n, self.every)
        self.logits = np.zeros((len(self.kept), classes), np.float32)

    def add(self, batch: Batch, logits: Tensor, confidence: Tensor, brier: Tensor) -> None:
        """Add a batch: its logits (B, K), the probability of the answer (B,) and the Brier score (B,) of each."""
        at = batch.indices.numpy()
        self.targets[at], self.predicted[at] = batch.targets.numpy(), logits.argmax(1).numpy()
        self.confidence[at], self.brier[at] = confidence.numpy(), brier.numpy()
        self.loss[at] = F.cross_entropy(logits.double(), batch.targets, reduction="none").numpy()
        here = at % self.every == 0
        self.logits[at[here] // self.every] = logits.numpy()[here]

    def gather(self, ranks=ALONE) -> Answers:
        """Join what each process measured; where a process did not measure, it holds zeros."""
        for name in ("targets", "predicted", "confidence", "loss", "brier", "logits"):
            setattr(self, name, ranks.add(getattr(self, name)))
        return self

    @property
    def right(self) -> np.ndarray:
        """(N,) bool."""
        return self.predicted == self.targets

    def __len__(self) -> int:
        return len(self.targets)
