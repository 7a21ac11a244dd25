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
        total: () loss summed over the batch; `total / weight` is what is differentiated.
        weight: number of pictures (or the sum of their weights).
        parts: named sums that can be added up over batches: "loss" () the cross-entropy on the labels in nats,
            whatever is minimised, so that training and validation show the same measure; "hits" (K,), "seen" (K,),
            and what else an objective is made of.
    """

    total: Tensor
    weight: float
    parts: dict[str, Tensor]


def count(logits: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Right answers and pictures for each class, as sums: accuracy is hits.sum() / seen.sum().

    A picture with a share of several classes counts for the one with the largest share (of equal ones, the first).

    Shape:
        logits: (B, K). target: (B,) int64, or (B, K) shares. Returns: two (K,) int64.
    """
    classes, target = logits.shape[1], leading(target)
    hit = target[logits.detach().argmax(1) == target]
    return {"hits": torch.bincount(hit, minlength=classes), "seen": torch.bincount(target, minlength=classes)}


def leading(target: Tensor) -> Tensor:
    """The class with the largest share. Shape: target (B,) int64 or (B, K); returns (B,) int64."""
    return target if target.ndim == 1 else target.argmax(1)


class Supervised(nn.Module):
    """A student and the loss on the labels.

    total = sum_i w_i loss(student(images), target)_i and weight = sum_i w_i, with w_i the weight of picture i's class
    (1 where there are no class weights; sum_k q_ik w_k where it has the share q_ik of class k).

    Args:
        loss: one value a picture; see `train.losses`.
        class_weights: (K,) float, > 0; no part of the state, as they follow from the options and the labels.
    Shape:
        images: (B, C, H, W) uint8, or float in [0, 255]. target: (B,) int64, or (B, K) shares that add up to 1.
    """

    def __init__(
        self, student: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], *, class_weights: Tensor | None = None
    ):
        super().__init__()
        self.student, self.loss = student, loss
        self.register_buffer("class_weights", class_weights, persistent=False)

    def mode(self, train: bool) -> None:
        """Switch dropout and batch norm; here, because not every student allows `.train()`."""
        self.student.train(train)

    def forward(self, images: Tensor, target: Tensor) -> Loss:
        return self.on_labels(self.student(images).float(), target)

    def on_labels(self, logits: Tensor, target: Tensor) -> Loss:
        """What the student's answers cost. Shape: logits (B, K); target as in `forward`."""
        costs, weight = self.loss(logits, target), float(len(target))
        if self.class_weights is not None:
            weights = self.class_weights[target] if target.ndim == 1 else target @ self.class_weights
            costs, weight = weights * costs, float(weights.sum())
        surprise = nn.functional.cross_entropy(logits.detach(), target, reduction="sum")
        return Loss(costs.sum(), weight, {"loss": surprise, **count(logits, target)})
