"""Losses on labels."""

import math

import pytest
import torch

from strop.train.losses import losses

LOGITS = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], dtype=torch.float64)
TARGET = torch.tensor([1, 0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_cross_entropy_by_hand(smoothing):
    """-sum q log p with q = (1 - smoothing) onehot + smoothing / K, mean of two pictures."""
    expected = 0.0
    for row, target in zip(LOGITS.tolist(), TARGET.tolist(), strict=True):
        log_total = math.log(sum(map(math.exp, row)))
        for k, logit in enumerate(row):
            q = (1 - smoothing) * (k == target) + smoothing / 3
            expected -= q * (logit - log_total) / 2
    assert losses.get("cross-entropy")(smoothing=smoothing)(LOGITS, TARGET).item() == pytest.approx(expected)


def test_cross_entropy_knows_nothing_at_equal_logits():
    """log K, with and without smoothing."""
    for smoothing in (0.0, 0.3):
        loss = losses.get("cross-entropy")(smoothing=smoothing)(torch.zeros(4, 7), torch.arange(4))
        assert loss.item() == pytest.approx(math.log(7), rel=1e-6)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_smoothing_out_of_range(smoothing):
    """The value is shown."""
    with pytest.raises(ValueError, match=str(smoothing)):
        losses.get("cross-entropy")(smoothing=smoothing)
