"""Temperature scaling: the optimum by hand, by brute force, and at its limits."""

import math

import pytest
import torch

from strop.measure.calibration import HIGHEST, LOWEST, fit_temperature, scores_at
from strop.measure.temperature import trusted


def test_by_hand():
    """Two classes, logits 2 and 0, three of four right: e^(2/T) = 3, so T = 2 / ln 3; the confidence becomes 3/4."""
    logits, targets = torch.tensor([[2.0, 0.0]] * 4), torch.tensor([0, 0, 0, 1])
    temperature = fit_temperature(logits, targets)
    assert temperature == pytest.approx(2 / math.log(3), rel=1e-4)
    found = scores_at(logits, targets, temperature)
    assert found["ece"] == pytest.approx(0, abs=1e-4)
    assert found["loss"] == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)), rel=1e-6)


@pytest.mark.parametrize("scale", [0.25, 1.0, 3.0])
def test_finds_the_scale_again(scale):
    """Truths drawn from softmax(z), logits given as scale * z: T is the scale."""
    random = torch.Generator().manual_seed(0)
    z = 2 * torch.randn(20_000, 6, generator=random)
    targets = torch.multinomial(z.softmax(1), 1, generator=random)[:, 0]
    temperature = fit_temperature(scale * z, targets)
    assert temperature == pytest.approx(scale, rel=0.02)  # standard error about 0.01
    best = scores_at(scale * z, targets, temperature)
    for other in (0.98, 1.02):
        assert scores_at(scale * z, targets, other * temperature)["loss"] > best["loss"]
    assert best["ece"] < 0.012 and (scale == 1.0 or scores_at(scale * z, targets, 1.0)["ece"] > 0.1)


def test_log_probabilities_do_as_well():
    """A file gives probabilities: a row's shift changes nothing."""
    z = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(200) % 4
    assert fit_temperature(z.log_softmax(1), targets) == pytest.approx(fit_temperature(z, targets), rel=1e-4)


def test_limits():
    """All right: as cold as it may be. No better than chance: as hot. One picture is enough."""
    eye, targets = torch.eye(3), torch.arange(3)
    assert fit_temperature(eye, targets) == LOWEST
    assert fit_temperature(eye, (targets + 1) % 3) == HIGHEST
    assert fit_temperature(torch.zeros(1, 2), torch.zeros(1).long()) == HIGHEST


def test_reliability_bins_add_up():
    """Pictures and, weighted by them, accuracy and confidence are those of all; the ECE is theirs."""
    z = torch.randn(300, 4, generator=torch.Generator().manual_seed(1))
    targets = torch.randint(4, (300,), generator=torch.Generator().manual_seed(2))
    found = scores_at(z, targets, 0.7)
    bins = [row for row in found["reliability"] if row["n"]]
    assert sum(row["n"] for row in bins) == 300 and len(found["reliability"]) == 15
    assert sum(row["n"] * row["accuracy"] for row in bins) / 300 == pytest.approx(
        (z.argmax(1) == targets).float().mean().item()
    )
    assert sum(row["n"] * abs(row["accuracy"] - row["confidence"]) for row in bins) / 300 == pytest.approx(found["ece"])
    assert all(row["from"] < row["confidence"] <= row["to"] for row in bins)


def test_all_right_says_nothing_of_mistakes():
    """Fitted on right answers only, T would make one mistake among others cost 20 times its 3 nats; 1 does not."""
    right, targets = 3.0 * torch.eye(3), torch.arange(3)
    fitted = fit_temperature(right, targets)
    others = torch.cat([right, right[:1]]), torch.tensor([0, 1, 2, 1])
    assert fitted == LOWEST and trusted(fitted) == 1.0 and trusted(1.3) == 1.3
    assert scores_at(*others, fitted)["loss"] == pytest.approx(20 * 3 / 4, abs=0.01)
    assert scores_at(*others, trusted(fitted))["loss"] < 1
