"""Errors, confusions and Grad-CAM: by hand, and where the network really looks."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from strop.measure.answers import Answers
from strop.measure.explaining import grad_cam, last_map, most_confused, worst_errors


def test_worst_errors_by_hand():
    """Of four answers two are wrong; the surer mistake comes first, with its place in the split."""
    logits, targets = torch.tensor([[3.0, 0.0], [1.0, 0.0], [0.0, 2.0], [4.0, 0.0]]), torch.tensor([0, 1, 1, 1])
    made, p = Answers(4, 2), logits.double().softmax(1)
    made.add(SimpleNamespace(indices=torch.arange(4), targets=targets), logits, p.max(1)[0], p[:, 0])
    first, second = worst_errors(made, ["a", "b", "c", "d"], ("猫", "狗"))
    assert (first["index"], first["name"], first["true"], first["predicted"]) == (3, "d", "狗", "猫")
    assert first["confidence"] == pytest.approx(1 / (1 + np.exp(-4))) and first["loss"] == pytest.approx(4.0181499)
    assert second["name"] == "b" and len(worst_errors(made, "abcd", "xy", most=1)) == 1


def test_confused_pairs_by_hand():
    """The largest cell off the diagonal first; empty cells are no confusion."""
    pairs = most_confused([[5, 1, 0], [4, 2, 0], [0, 0, 9]], "abc")
    assert pairs == [{"true": "b", "predicted": "a", "n": 4, "of": 6}, {"true": "a", "predicted": "b", "n": 1, "of": 6}]


def test_the_last_map():
    """The last convolution with a map; one that only cuts patches before linear layers is none; without any, None."""
    plain = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    assert last_map(plain, torch.zeros(1, 1, 12, 12)) == "2"
    patches = nn.Sequential(nn.Conv2d(1, 4, 4, 4), nn.Flatten(), nn.Linear(36, 8), nn.Linear(8, 8), nn.Linear(8, 2))
    assert last_map(patches, torch.zeros(1, 1, 12, 12)) is None
    assert last_map(nn.Sequential(nn.Flatten(), nn.Linear(9, 2)), torch.zeros(1, 1, 3, 3)) is None


class Corner(nn.Module):
    """Class 0 is the brightness of the left half, class 1 of the right one."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1, bias=False)
        self.conv.weight.data = torch.ones(2, 1, 1, 1)

    def forward(self, x):
        maps = self.conv(x)
        half = maps.shape[3] // 2
        return torch.stack([maps[:, 0, :, :half].mean((1, 2)), maps[:, 1, :, half:].mean((1, 2))], 1)


def test_grad_cam_by_hand():
    """One map A_0 = x whose gradient is 1 / (4 * 2) on the left half, mean 1 / 16; A_1 has none: so x / max x."""
    x = torch.tensor([[0.0, 1.0, 2.0, 4.0]]).repeat(4, 1).view(1, 1, 4, 4)
    cam = grad_cam(Corner(), "conv", x, torch.tensor([0]))
    assert cam[0] == pytest.approx((x / 4).numpy()[0, 0])


def test_grad_cam_finds_the_shape():
    """Pooled 3x3 means of bright pixels speak for the class: the map is highest on the bright square, 0 far away."""
    net = nn.Sequential(
        nn.Conv2d(1, 1, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(1, 2, bias=False),
    )
    net[0].weight.data.fill_(1 / 9)
    net[4].weight.data = torch.tensor([[1.0], [-1.0]])
    x = torch.zeros(2, 1, 16, 16)
    x[:, :, 2:6, 9:13] = 1
    cam = grad_cam(net, "0", x, torch.tensor([0, 1]))
    assert cam[0].max() == 1 and cam[0, 3:5, 10:12].min() == 1 and cam[0, 10:, :6].max() == 0
    assert cam[1].max() == 0, "nothing speaks for the other class"
    assert x.requires_grad is False
