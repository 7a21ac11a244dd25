"""Timing of layers: who gets which time, under a clock that the test holds."""

import time

import pytest
import torch
from torch import nn

from strop.measure.layers import Layer
from strop.measure.timing import against_clock, time_layers


class Slow(nn.Module):
    """Takes the next of `seconds` on the held clock."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = list(seconds)

    def forward(self, x):
        Clock.now += self.seconds[Clock.call % len(self.seconds)]
        return x


class Outer(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        Clock.now += 0.5
        x = self.inner(x)
        Clock.now += 0.25
        Clock.call += 1
        return x


class Clock:
    now, call = 100.0, 0


@pytest.fixture
def clock(monkeypatch):
    Clock.now, Clock.call = 100.0, 0
    monkeypatch.setattr(time, "perf_counter", lambda: Clock.now)


def test_each_module_gets_its_own_time(clock):
    """Warm-up does not count; medians; what a module does around the one inside is its own."""
    timed = time_layers(Outer(Slow([9.0, 0.004, 0.001, 0.002])), (1, 2, 2), rounds=3, warmup=1)
    assert timed.milliseconds == pytest.approx({"": 750.0, "inner": 2.0})
    # The 95th of 100 parts of 751, 752, 754 lies 0.9 of the way from the second to the third.
    assert timed.p95_over_p50 == pytest.approx(753.8 / 752)


def test_the_model_is_left_as_it_was():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU()).train()
    time_layers(net, (1, 4, 4), rounds=3)
    assert net.training and not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert not torch.is_inference(net[0].weight)


def layer(name: str, macs: int, moved: int) -> Layer:
    return Layer(name, "Conv2d", (1,), 0, macs, moved, 0, None)


def test_rank_correlation():
    """1 where the clock ranks as the count does, -1 where it is turned around, None where there is nothing to rank."""
    layers = [layer("a", 1, 30), layer("b", 10, 20), layer("c", 100, 10)]
    assert against_clock(layers, {"a": 1.0, "b": 2.0, "c": 9.0}) == {"macs": 1.0, "memory_access": -1.0}
    assert against_clock(layers[:2], {"a": 1.0, "b": 2.0})["macs"] is None
    assert against_clock([layer("a", 1, 1)] * 3, {"a": 1.0})["macs"] is None
