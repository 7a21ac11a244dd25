"""The bench: order of the calls, medians under a clock that the test holds, noise."""

import statistics
import time

import pytest

from strop.measure.bench import THROUGHPUT_BATCH, bench, noise


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when a fake model takes time."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(time, "perf_counter", lambda: Clock.now)
    return Clock


def make(clock, calls, name, seconds):
    """A model that takes the next of `seconds` for each call."""
    durations = iter(seconds)

    def model(batch):
        calls.append((name, batch))
        clock.now += next(durations)

    return model


def test_models_take_turns(clock):
    """A B C A B C ..., warm-up included, at batch 1 and again at batch 64; each gets its own input."""
    calls = []
    models = {name: make(clock, calls, name, [0.001] * 99) for name in "ABC"}
    inputs = {name: (lambda count, name=name: (name, count)) for name in "ABC"}
    bench(models, inputs, rounds=4, throughput_rounds=3, warmup=2)
    assert [name for name, _ in calls] == list("ABC") * ((2 + 4) + (1 + 3))
    assert all(batch[0] == name for name, batch in calls)
    assert [batch[1] for _, batch in calls] == [1] * 3 * 6 + [THROUGHPUT_BATCH] * 3 * 4


def test_medians_and_percentiles(clock):
    """Warm-up is not counted; p50 is the median, p95 interpolates, throughput is 64 over the median."""
    warm, single, many = [9.0, 9.0], [0.005, 0.001, 0.002, 0.004, 0.003], [9.0, 0.5, 0.25, 0.4]
    found = bench(
        {"a": make(clock, [], "a", warm + single + many)},
        {"a": lambda count: count},
        rounds=5,
        throughput_rounds=3,
        warmup=2,
    )["a"]
    # The 95th of 100 parts of 1, 2, 3, 4, 5 ms lies 0.8 of the way from the fourth to the fifth.
    assert found["latency_ms"] == {"p50": 3.0, "p95": 4.8, "n": 5}
    assert found["images_per_second"] == {"batch": 64, "n": 3, "value": 64 / 0.4}


def test_a_slow_phase_hits_all_alike(clock):
    """Where the machine becomes three times slower in the middle, the ratio of two models stays."""
    durations = [0.001] * 10 + [0.003] * 11 + [0.001] * 4
    models = {"a": make(clock, [], "a", durations), "b": make(clock, [], "b", [2 * d for d in durations])}
    rows = bench(models, dict.fromkeys(models, lambda count: count), rounds=21, throughput_rounds=3, warmup=0)
    for name in ("p50", "p95"):
        assert rows["b"]["latency_ms"][name] == pytest.approx(2 * rows["a"]["latency_ms"][name], rel=1e-6)


@pytest.mark.parametrize(("spreads", "quiet"), [((1.1, 1.2, 9.0), True), ((1.5, 1.5), False), ((1.49,), True)])
def test_noise(spreads, quiet):
    """The median over models of p95 / p50; one restless row does not make a restless machine; quiet below 1.5."""
    rows = {str(n): {"latency_ms": {"p50": 2.0, "p95": 2.0 * spread}} for n, spread in enumerate(spreads)}
    assert noise(rows) == {"p95_over_p50": pytest.approx(statistics.median(spreads), abs=1e-3), "quiet": quiet}
