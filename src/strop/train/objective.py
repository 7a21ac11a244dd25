"""What is minimised: the first of the loop's two seams."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn as nn
from torch import Tensor


class Loss(NamedTuple):
    """What an objective returns for a batch.

    Attributes:
        total: () loss summed over the batch, in nats; `total / weight` is what is differentiated.
        weight: number of pictures (or the sum of their weights).
        parts: named sums that can be added up over batches: "loss" () on the labels (what validation measures
            too), "hits" (K,), "seen" (K,), and what else an objective is made of.
    """

    total: Tensor
    weight: float
    parts: dict[str, Tensor]


def count(logits: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Right answers and pictures for each class, as sums: accuracy is hits.sum() / seen.sum().

    Shape:
        logits: (B, K). target: (B,) int64. Returns: two (K,) int64.
    """
    classes = logits.shape[1]
    hit = target[logits.detach().argmax(1) == target]
    return {"hits": torch.bincount(hit, minlength=classes), "seen": torch.bincount(target, minlength=classes)}


class Supervised(nn.Module):
    """A student and the loss on the labels.

    total = B * loss(student(images), target).

    Shape:
        images: (B, C, H, W) uint8. target: (B,) int64.
    """

    def __init__(self, student: nn.Module, loss: Callable[[Tensor, Tensor], Tensor]):
        super().__init__()
        self.student, self.loss = student, loss

    def mode(self, train: bool) -> None:
        """Switch dropout and batch norm; here, because not every student allows `.train()`."""
        self.student.train(train)

    def forward(self, images: Tensor, target: Tensor) -> Loss:
        logits = self.student(images).float()
        total = self.loss(logits, target) * len(target)
        return Loss(total, len(target), {"loss": total.detach(), **count(logits, target)})
