"""Several teachers as one: the mean of probabilities by hand, and what must not matter."""

import pytest
import torch
from torch import nn

from strop.distill.ensemble import Ensemble


class Says(nn.Module):
    """A teacher that always gives the same logits."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, images):
        return self.logits.expand(len(images), -1)


PICTURES = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)


def test_the_mean_of_probabilities_by_hand():
    """(0.8, 0.2) and (0.4, 0.6) are (0.6, 0.4) together; a shift of one teacher's logits changes nothing."""
    p, q = torch.tensor([0.8, 0.2]).log().tolist(), (torch.tensor([0.4, 0.6]).log() + 5).tolist()
    answers = Ensemble([Says(p), Says(q)])(PICTURES)
    torch.testing.assert_close(answers.exp(), torch.tensor([[0.6, 0.4]] * 2))
    torch.testing.assert_close(Ensemble([Says(q), Says(p)])(PICTURES), answers)


def test_teachers_that_agree_are_one():
    """Up to a shift of the logits, which no softmax sees."""
    logits = [3.0, -1.0, 0.5]
    answers = Ensemble([Says(logits)] * 3)(PICTURES)
    torch.testing.assert_close(answers, torch.tensor(logits).log_softmax(0).expand(2, -1))


def test_a_loud_teacher_does_not_outweigh_a_quiet_one():
    """Logits of 1e4 count for one half, and stay finite: a mean of logits would have left nothing of the other."""
    answers = Ensemble([Says([1e4, -1e4]), Says([0.0, 0.0])])(PICTURES)
    assert torch.isfinite(answers).all() and answers.exp()[0, 1].item() == pytest.approx(0.25)
