"""Top-5, Brier score and calibration error: by hand, against scikit-learn, at their limits."""

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss, log_loss, top_k_accuracy_score

from strop.data.load import Loader, MemoryPictures
from strop.measure.evaluate import evaluate
from strop.measure.probabilities import BINS, bin_confidences, brier, ece, within


def scores_of(logits, targets, *, batch_size=64):
    """`evaluate` on pictures that carry their number in two bytes, answered from a table of logits."""
    number = torch.arange(len(logits))
    images = torch.stack([number % 256, number // 256], 1).to(torch.uint8).view(-1, 1, 1, 2)
    loader = Loader(MemoryPictures(images, targets), batch_size=batch_size, seed=0, shuffle=False)

    def predict(images):
        low, high = images.flatten(1).long().unbind(1)
        return logits[low + 256 * high]

    return evaluate(predict, loader, [f"class {k}" for k in range(logits.shape[1])])


@pytest.fixture
def answers():
    """500 random answers among 9 classes."""
    random = torch.Generator().manual_seed(0)
    return 2 * torch.randn(500, 9, generator=random), torch.randint(9, (500,), generator=random)


@pytest.mark.parametrize("batch_size", [1, 64, 500])
def test_as_scikit_learn_scores(answers, batch_size):
    """NLL, Brier score and top-5, whatever the batches."""
    logits, targets = answers
    found, p = scores_of(logits, targets, batch_size=batch_size), logits.double().softmax(1).numpy()
    assert found["loss"] == pytest.approx(log_loss(targets, p, labels=range(9)), rel=1e-6)
    expected = brier_score_loss(targets, p, labels=range(9), scale_by_half=False)
    assert found["brier"] == pytest.approx(expected, rel=1e-12)
    assert found["top5"] == top_k_accuracy_score(targets, p, k=5, labels=range(9))
    assert found["top5_interval"][0] < found["top5"] < found["top5_interval"][1]


def test_calibration_error_written_out(answers):
    """The definition with its bins one by one: the share of a bin times what its accuracy and confidence differ by."""
    logits, targets = answers
    p = logits.double().softmax(1).numpy()
    confidence, right, expected = p.max(1), p.argmax(1) == targets.numpy(), 0.0
    for b in range(BINS):
        inside = (confidence > b / BINS) & (confidence <= (b + 1) / BINS)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    found = scores_of(logits, targets)
    assert found["ece"] == pytest.approx(expected, rel=1e-9) and found["ece"] > 0.1
    assert found["ece_bins"] == 15


def test_a_calibrated_model_has_no_calibration_error():
    """Truths drawn with the very probabilities that are said: 40,000 pictures leave chance about 0.005; not so when
    all logits are doubled."""
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(40_000, 4, generator=random)
    targets = torch.multinomial(logits.softmax(1), 1, generator=random)[:, 0]
    assert scores_of(logits, targets)["ece"] < 0.015
    assert scores_of(2 * logits, targets)["ece"] > 0.1


def test_exact_calibration_is_zero():
    """Ten answers of confidence 0.7, seven of them right."""
    right = torch.arange(10) < 7
    hits, confidence = bin_confidences(torch.full((10,), 0.7, dtype=torch.float64), right)
    assert ece(hits, confidence, 10) == pytest.approx(0, abs=1e-12)
    assert ece(*bin_confidences(torch.ones(10, dtype=torch.float64), right), 10) == pytest.approx(0.3)


def test_bins_are_closed_above():
    """0 is in the first bin, 1/15 too, what is above it in the second, 1 in the last."""
    edges = torch.tensor([0.0, 1 / 15, 0.0667, 1.0], dtype=torch.float64)
    assert bin_confidences(edges, torch.ones(4, dtype=torch.bool))[0].tolist() == [2, 1, *[0] * 12, 1]


@pytest.mark.parametrize("k", [2, 5, 9])
def test_brier_score_at_its_limits(k):
    """(K - 1) / K for equal probabilities, 0 for certain and right, 2 for certain and wrong."""
    targets, eye = torch.arange(k), torch.eye(k, dtype=torch.float64)
    assert brier(torch.full((k, k), 1 / k, dtype=torch.float64), targets).tolist() == pytest.approx([(k - 1) / k] * k)
    assert brier(eye, targets).tolist() == [0.0] * k
    assert brier(eye.roll(1, 0), targets).tolist() == [2.0] * k


def test_top_5(answers):
    """Among five classes every answer holds; with k = 1 it is accuracy; of equals the first class is taken."""
    logits, targets = answers
    assert within(logits[:, :5], targets % 5, 5).all()
    assert torch.equal(within(logits, targets, 1), logits.argmax(1) == targets)
    assert within(torch.zeros(9, 9), torch.arange(9), 5).tolist() == [True] * 5 + [False] * 4
    assert "top5" not in scores_of(logits[:, :5], targets % 5)
    assert scores_of(logits[:, :6], targets % 6)["top5"] < 1


def test_order_of_classes_and_pictures_does_not_matter(answers):
    """Renaming the classes, or showing the pictures in another order, changes no score."""
    logits, targets = answers
    random = torch.Generator().manual_seed(1)
    order, shown = torch.randperm(9, generator=random), torch.randperm(500, generator=random)
    before = scores_of(logits, targets)
    for after in (
        scores_of(logits[:, order], torch.argsort(order)[targets]),
        scores_of(logits[shown], targets[shown]),
    ):
        for name in ("accuracy", "top5", "loss", "brier", "ece"):
            assert after[name] == pytest.approx(before[name], rel=1e-6), name


def test_probabilities_of_an_exported_file(answers):
    """What comes out of a file in float32 and is taken the logarithm of scores as the logits do; a picture that is
    certain and wrong by 80 nats too, and one by 200 costs 87.3, the logarithm of the smallest normal number."""
    from strop.steps.subjects import _from_pixels

    logits, targets = answers
    for scale in (1.0, 4.0):
        file = _from_pixels(lambda images, scale=scale: (scale * logits).softmax(1).numpy())
        found, expected = scores_of(file(torch.zeros(1, 3, 1, 1)), targets), scores_of(scale * logits, targets)
        for name in ("accuracy", "top5", "loss", "brier", "ece"):
            assert found[name] == pytest.approx(expected[name], rel=1e-5), name
    for gap, cost in ((80.0, 80.0), (200.0, 87.3365)):
        wrong = torch.tensor([[gap, 0.0]])
        found = scores_of(
            _from_pixels(lambda images, wrong=wrong: wrong.softmax(1).numpy())(torch.zeros(1, 3, 1, 1)),
            torch.ones(1).long(),
        )
        assert found["loss"] == pytest.approx(cost, rel=1e-5) and found["brier"] == pytest.approx(2)
        assert np.isclose(found["ece"], 1)
