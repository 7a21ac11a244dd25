"""Evaluation: every picture once, its loss by hand, whatever the batches."""

import math

import pytest
import torch

from strop.data.load import Loader, MemoryPictures
from strop.measure.evaluate import evaluate

CLASSES = ("a", "b", "c")


def loader(batch_size, n=11):
    """Pictures of one pixel whose value is their number; labels 0, 1, 2, 0, ..."""
    images = torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1)
    return Loader(MemoryPictures(images, torch.arange(n) % 3), batch_size=batch_size, seed=0, shuffle=False)


def predict(images):
    """Logits (v, 5, 10 - v) of a picture with value v."""
    value = images.flatten().float()
    return torch.stack([value, torch.full_like(value, 5.0), 10 - value], 1)


@pytest.mark.parametrize("batch_size", [1, 4, 10, 11, 64])
def test_counts_and_loss_by_hand(batch_size):
    """Picture v is taken for class 2 below 5, then for class 0 (the first of equals); the loss is a mean."""
    found = evaluate(predict, loader(batch_size), CLASSES)
    expected, loss = [[0] * 3 for _ in range(3)], 0.0
    for v in range(11):
        expected[v % 3][2 if v < 5 else 0] += 1
        logits = (v, 5, 10 - v)
        loss += math.log(sum(map(math.exp, logits))) - logits[v % 3]
    assert found["confusion"] == expected
    assert found["n"] == 11
    assert found["loss"] == pytest.approx(loss / 11, rel=1e-6)


def test_every_picture_is_seen_once_in_order():
    """What the model is shown is the split, not a shuffled, padded or cut form of it."""
    seen = []

    def watch(images):
        assert images.dtype == torch.uint8 and not torch.is_grad_enabled()
        seen.extend(images.flatten().tolist())
        return predict(images)

    evaluate(watch, loader(4), CLASSES)
    assert seen == list(range(11))


def test_log_probabilities_score_like_logits():
    """An exported file answers in probabilities; their logarithm gives the same loss and the same matrix."""
    logits = evaluate(predict, loader(4), CLASSES)
    logs = evaluate(lambda images: predict(images).log_softmax(1), loader(4), CLASSES)
    assert logs["confusion"] == logits["confusion"] and logs["loss"] == pytest.approx(logits["loss"], rel=1e-6)


def test_perfect_answers():
    """Accuracy 1 and a loss near 0 when the right class is far above the others."""
    truth = torch.nn.functional.one_hot
    found = evaluate(lambda images: 50.0 * truth(images.flatten().long() % 3, 3), loader(4), CLASSES)
    assert found["accuracy"] == found["macro_f1"] == 1.0 and 0 <= found["loss"] < 1e-9
