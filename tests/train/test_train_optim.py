"""Schedules by hand values, and which parameters are decayed."""

import math

import pytest
import torch
from torch import nn

from strop.train.optim import make_optimizer, make_schedule

HAND_VALUES = {
    # (1 + cos(pi u)) / 2 at a quarter is (1 + sqrt(1/2)) / 2
    "cosine": {0: 1.0, 0.25: (1 + math.sqrt(0.5)) / 2, 0.5: 0.5, 0.75: (1 - math.sqrt(0.5)) / 2},
    "constant": {0: 1.0, 0.5: 1.0, 0.99: 1.0},
    "exponential": {0: 1.0, 0.5: 0.1, 0.25: math.sqrt(0.1)},
    "step": {0: 1.0, 0.33: 1.0, 0.34: 0.1, 0.66: 0.1, 0.67: 0.01, 0.99: 0.01},
}


@pytest.mark.parametrize("name", HAND_VALUES)
@pytest.mark.parametrize("warmup", [0.0, 0.2])
def test_shapes(name, warmup):
    """The shape runs over what the warm-up leaves."""
    factor = make_schedule(name, warmup=warmup)
    for u, expected in HAND_VALUES[name].items():
        assert factor(warmup + u * (1 - warmup)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", HAND_VALUES)
def test_warm_up(name):
    """It rises in equal steps from close to 0 and meets the shape's 1."""
    factor = make_schedule(name, warmup=0.1)
    rising = [factor(t) for t in (0.0, 0.025, 0.05, 0.075)]
    steps = [b - a for a, b in zip(rising, rising[1:], strict=False)]
    assert 0 < rising[0] < 0.02 and steps == pytest.approx([steps[0]] * 3)
    assert rising[-1] + steps[0] == pytest.approx(1.0) and factor(0.1) == 1.0


@pytest.mark.parametrize("name", ["cosine", "exponential", "step"])
def test_after_the_warm_up_it_never_rises(name):
    """Monotone, and between 0 and 1."""
    factor = make_schedule(name, warmup=0.1)
    values = [factor(0.1 + 0.9 * i / 1000) for i in range(1000)]
    assert all(0 <= b <= a <= 1 for a, b in zip(values, values[1:], strict=False))


def network():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    net[0].weight.requires_grad_(False)
    return net


@pytest.mark.parametrize(("name", "kind"), [("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")])
def test_groups(name, kind):
    """Weights are decayed, biases and norms are not, frozen parameters are not there at all."""
    net = network()
    optimizer = make_optimizer(net, name, lr=0.3, weight_decay=0.02)
    assert type(optimizer).__name__ == kind
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    expected = {net[3].weight: 0.02, net[0].bias: 0, net[1].weight: 0, net[1].bias: 0, net[3].bias: 0}
    assert decay == {id(parameter): value for parameter, value in expected.items()}
    assert all(group["lr"] == 0.3 for group in optimizer.param_groups)


def test_decay_alone_shrinks_weights_only():
    """With gradients of zero, AdamW's step is w * (1 - lr * decay) and leaves the rest as it was."""
    net = network()
    optimizer = make_optimizer(net, "adamw", lr=0.1, weight_decay=0.5)
    before = {name: p.clone() for name, p in net.named_parameters()}
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in net.named_parameters():
        factor = 1 - 0.1 * 0.5 if name == "3.weight" else 1.0
        torch.testing.assert_close(parameter, before[name] * factor)


def test_sgd_has_nesterov_momentum():
    """Two steps under a constant gradient of 1 go 1.9 and 2.71 learning rates: v = 1, 1.9; step = 1 + 0.9 v."""
    weight = nn.Linear(1, 1, bias=False)
    optimizer = make_optimizer(weight, "sgd", lr=1.0, weight_decay=0.0)
    before = weight.weight.item()
    for expected in (1.9, 1.9 + 2.71):
        weight.weight.grad = torch.ones(1, 1)
        optimizer.step()
        assert before - weight.weight.item() == pytest.approx(expected, rel=1e-5)


def test_an_unknown_optimizer_is_named():
    """The loop's caller checks names; here a mistake must not pass."""
    with pytest.raises(ValueError, match="'lion'"):
        make_optimizer(network(), "lion", lr=0.1, weight_decay=0.0)
