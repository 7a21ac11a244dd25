"""The bench: order of the calls, medians under a clock that the test holds, noise."""

import statistics
import time

import numpy as np
import pytest

from strop.measure.bench import THROUGHPUT_BATCH, bench, best_batches, noise
from strop.measure.rounds import median_interval, ratio


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
    bench(models, inputs, rounds=4, throughput_rounds=3, warmup=2, settle=0)
    assert [name for name, _ in calls] == list("ABC") * ((2 + 4) + (1 + 3))
    assert all(batch[0] == name for name, batch in calls)
    assert [batch[1] for _, batch in calls] == [1] * 3 * 6 + [THROUGHPUT_BATCH] * 3 * 4


def test_who_ran_before_does_not_count(clock):
    """B leaves nothing of A in the caches: A's first call after it takes 3 ms more, and its own time is the 1 ms."""
    calls = []

    def model(name, own, after):
        def run(_):
            calls.append(name)
            clock.now += own + (after if calls[-2:-1] != [name] else 0.0)

        return run

    models = {"a": model("a", 0.001, 0.003), "b": model("b", 0.002, 0.0), "slow": model("slow", 0.02, 0.0)}
    rows = bench(models, dict.fromkeys(models, int), rounds=6, throughput_rounds=2, warmup=2)
    assert [rows[name]["latency_ms"]["p50"] for name in models] == [1.0, 2.0, 20.0]
    assert rows["b"]["ratio"]["latency"] == 2.0
    assert calls[6 : 6 + 7] == [*"aaabbb", "slow"]  # a long call brings back its own caches


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
    assert found["latency_ms"] == {"p50": 3.0, "p95": 4.8, "n": 5, "drift": 1.0}
    assert found["images_per_second"] == {"batch": 64, "n": 3, "value": 64 / 0.4, "interval": [128.0, 256.0]}


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
    rows = {
        str(n): {"latency_ms": {"p50": 2.0, "p95": 2.0 * spread}, "images_per_second": {"interval": [90, 99]}}
        for n, spread in enumerate(spreads)
    }
    assert noise(rows) == {
        "p95_over_p50": pytest.approx(statistics.median(spreads), abs=1e-3), "drift": 1.0, "images_per_second": 1.1,
        "quiet": quiet,
    }  # fmt: skip


def test_calls_of_many_pictures_count_too(clock):
    """Single pictures take 1 ms each time, but calls of 64 take 1 to 3 s: images/s have no digits to show."""
    slow = [1.0, 3.0, 2.0, 1.0, 3.0, 2.0, 1.0, 3.0, 2.0, 1.0, 3.0, 2.0]
    found = bench({"a": make(clock, [], "a", [0.001] * 20 + [1.0] + slow)}, {"a": int}, rounds=20, warmup=0)
    assert found["a"]["images_per_second"] == {"batch": 64, "n": 12, "value": 32.0, "interval": [21.3, 64.0]}
    about = noise(found)
    assert about["p95_over_p50"] == about["drift"] == 1.0 and not about["quiet"]
    assert about["images_per_second"] == pytest.approx(3, abs=0.01)


def test_the_interval_of_a_median_holds_it():
    """Skewed and heavy tails alike, 12 values: 3rd to 10th, of 2,000 draws 96.1 % (binomial, 1 - 2 * 79 / 4096)."""
    drawn = np.random.default_rng(2).lognormal(0, 2, size=(2000, 12))
    assert median_interval(range(12)) == (2, 9) and median_interval([3.0, 1.0, 2.0]) == (1.0, 3.0)
    assert np.mean([low <= 1 <= high for low, high in map(median_interval, drawn)]) == pytest.approx(0.961, abs=0.013)


def test_a_machine_that_slows_down_is_not_quiet(clock):
    """No round stands out, p95 is p50; but from the first block of rounds to the last the median doubles."""
    durations = [0.001] * 20 + [0.002] * 21
    found = bench(
        {"a": make(clock, [], "a", durations + [0.1] * 3)}, {"a": int}, rounds=41, throughput_rounds=2, warmup=0
    )
    assert found["a"]["latency_ms"]["drift"] == 2.0
    about = noise(found)
    assert about["p95_over_p50"] == 1.0 and about["drift"] == 2.0 and not about["quiet"]


def test_a_steady_machine_is_quiet(clock):
    """The same scatter from beginning to end: every block has the same median."""
    durations = [0.0010, 0.0011, 0.0010, 0.0012, 0.0011] * 8
    found = bench(
        {"a": make(clock, [], "a", durations + [0.1] * 3)}, {"a": int}, rounds=40, throughput_rounds=2, warmup=0
    )
    assert found["a"]["latency_ms"]["drift"] == 1.0 and noise(found)["quiet"]


def test_ratios_hold_through_a_slow_phase(clock):
    """b takes twice as long as a in each round, whatever the machine does: exactly 2, and half the pictures."""
    durations = [0.001 * (1 + (number > 10) + number % 3) for number in range(40)]
    models = {"a": make(clock, [], "a", durations), "b": make(clock, [], "b", [2 * d for d in durations])}
    rows = bench(models, dict.fromkeys(models, lambda count: count), rounds=30, throughput_rounds=8, warmup=1, settle=0)
    ratio = rows["b"]["ratio"]
    assert ratio["latency"] == pytest.approx(2) and ratio["latency_interval"] == pytest.approx([2, 2])
    assert ratio["images_per_second"] == pytest.approx(0.5) and ratio["to"] == "a"
    assert rows["a"]["ratio"]["latency_interval"] == [1, 1]


def test_the_ratio_to_the_float_model_is_of_the_same_rounds(clock):
    """B takes 3 ms for the 2 of A, C the 1.5 of the 3 of B in each round: 0.5 to its float model B, 0.75 to A."""
    models = {
        name: make(clock, [], name, [took] * 99) for name, took in zip("ABC", (0.002, 0.003, 0.0015), strict=True)
    }
    rows = bench(models, dict.fromkeys("ABC", lambda count: count), rounds=8, floats={"C": "B"})
    found = rows["C"]["float_ratio"]
    assert (found["to"], found["latency"]) == ("B", 0.5) and found["latency_interval"] == [0.5, 0.5]
    assert rows["C"]["ratio"]["latency"] == 0.75 and "float_ratio" not in rows["A"] | rows["B"]


def test_the_interval_of_a_ratio_covers_it():
    """Two lists of the same distribution, 60 rounds, slow phases of ten rounds: 1 is inside in 88 of 100 or more."""
    chance, inside = np.random.default_rng(1), 0
    for number in range(100):
        phase = np.repeat(chance.gamma(20, 0.05, size=6), 10)
        low, high = ratio(*(phase * chance.gamma(50, 0.02, size=60) for _ in "ab"), seed=number)[1:]
        inside += low <= 1 <= high
    assert inside >= 88


def test_the_best_batch_is_a_power_of_two_for_each_model(clock):
    """a: 1 ms and 1 ms a picture, the largest is best; b: beyond 8 pictures each costs four times as much."""

    def model(cost):
        def run(count):
            clock.now += cost(count)

        return run

    costs = {
        "a": lambda count: 0.001 + 0.001 * count,
        "b": lambda count: 0.01 + 0.001 * count * (4 if count > 8 else 1),
    }
    models = {name: model(cost) for name, cost in costs.items()}
    found = best_batches(models, dict.fromkeys(models, lambda count: count), most=64)
    assert found == {"a": 64, "b": 8}
    rows = bench(models, dict.fromkeys(models, lambda count: count), rounds=5, throughput_rounds=4, batch=None)
    assert rows["b"]["images_per_second"] == {
        "batch": 8, "n": 4, "value": round(8 / 0.018, 1), "interval": [444.4, 444.4],
    }  # fmt: skip


def test_one_model_has_no_ratio(clock):
    assert "ratio" not in bench({"a": make(clock, [], "a", [1.0] * 99)}, {"a": int}, rounds=5, throughput_rounds=2)["a"]
