"""Run a classifier over a split and count."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..launch import ALONE
from .answers import Answers
from .metrics import score, wilson
from .probabilities import BINS, TOP, bin_confidences, bin_of, brier, ece, reliability, within


@torch.inference_mode()
def evaluate(
    predict: Callable[[Tensor], Tensor],
    loader,
    classes: Sequence[str],
    *,
    ranks=ALONE,
    record: Callable[[Tensor, Tensor, Tensor], None] | None = None,
    answers: Answers | None = None,
) -> dict:
    """Scores of `predict` on every picture of the loader, each counted once.

    loss = -1/n sum_i log p(y_i | x_i), the negative log-likelihood (NLL), which is the mean cross-entropy, in nats.

    Of several processes each measures every size-th batch, without padding. The batches, and the order in which their
    losses are added, are those of one process, and so is every bit of the result.

    Args:
        predict: uint8 (B, C, H, W) to logits or log-probabilities (B, K).
        loader: unshuffled, unaugmented (`loader.epoch(0, start, every)`).
        ranks: the processes that measure together, from `launch.here`.
        record: gets the indices (B,), the predicted classes (B,) and the probabilities (B, K) float64 of each batch.
        answers: filled with what this process measures.
    Returns:
        `metrics.score` plus "loss", "brier" (the mean of `probabilities.brier`), "ece", "reliability" and, above 5
        classes, "top5" with its Wilson interval.
    """
    count = len(classes)
    confusion, near = np.zeros((count, count), dtype=np.int64), np.zeros(1, dtype=np.int64)
    bin_counts, bin_hits = np.zeros(BINS, dtype=np.int64), np.zeros(BINS, dtype=np.int64)
    sums = np.zeros((len(loader), 2 + BINS))  # loss, Brier score and the confidences of each bin, by batch
    for number, batch in zip(
        range(ranks.rank, len(loader), ranks.size), loader.epoch(0, ranks.rank, ranks.size), strict=True
    ):
        logits = predict(batch.images).float().cpu()
        probabilities, predicted = logits.double().softmax(1), logits.argmax(1)
        cells = batch.targets * count + predicted
        confusion += torch.bincount(cells, minlength=count * count).view(count, count).numpy()
        near += int(within(logits, batch.targets, TOP).sum())
        chosen = probabilities.gather(1, predicted[:, None])[:, 0]
        hits, sums[number, 2:] = bin_confidences(chosen, predicted == batch.targets)
        bin_hits += hits
        bin_counts += torch.bincount(bin_of(chosen), minlength=BINS).numpy()
        squares = brier(probabilities, batch.targets)
        sums[number, 0] = float(torch.nn.functional.cross_entropy(logits, batch.targets, reduction="sum"))
        sums[number, 1] = float(squares.sum())
        if answers is not None:
            answers.add(batch, logits, chosen, squares)
        if record is not None:
            record(batch.indices, predicted, probabilities)
    confusion, near, bin_counts, bin_hits, sums = map(ranks.add, (confusion, near, bin_counts, bin_hits, sums))
    bin_sums = sums[:, 2:].sum(0)
    total = int(confusion.sum())
    return {
        **score(confusion, classes),
        **({"top5": int(near[0]) / total, "top5_interval": wilson(int(near[0]), total)} if count > TOP else {}),
        "loss": sum(sums[:, 0].tolist()) / total,
        "brier": sum(sums[:, 1].tolist()) / total,
        "ece": ece(bin_hits, bin_sums, total),
        "ece_bins": BINS,
        "reliability": reliability(bin_counts, bin_hits, bin_sums),
    }
