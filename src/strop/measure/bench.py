"""Latency and throughput of several models in one interleaved run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .rounds import INTERVAL_METHOD, drift, median_interval, ratio

LATENCY_BATCH, THROUGHPUT_BATCH = 1, 64
QUIET = 1.5
STEADY = 1.25
MOST_BATCH, LONGEST = 256, 2.0
SETTLE, BRIEF = 2, 5e-3
"""Untimed calls before a timed one, of models whose calls take less than so many seconds: what ran before, torch above
all, has filled the caches with its own. Without them a network timed behind torch took three times as long."""

Models = Mapping[str, Callable[[Any], Any]]
Inputs = Mapping[str, Callable[[int], Any]]


def bench(
    models: Models,
    inputs: Inputs,
    *,
    rounds: int = 200,
    throughput_rounds: int = 12,
    warmup: int = 5,
    settle: int = SETTLE,
    batch: int | None = THROUGHPUT_BATCH,
    floats: Mapping[str, str] | None = None,
) -> dict[str, dict]:
    """Time every model in turn, A B C A B C ..., so that a drift of the machine hits all alike.

    Args:
        models: name to a callable that takes a batch.
        inputs: name to a function that makes a batch of a given size.
        rounds: timed calls at batch 1; `throughput_rounds` at `batch`.
        settle: untimed calls before each at batch 1, of a model that took less than 5 ms in the warm-up.
        batch: pictures of a call for the throughput; None tries powers of two for each model.
        floats: name of a quantized model to that of the float model it was made from.
    Returns:
        for each name {"latency_ms": {"p50", "p95", "n", "drift"}, "images_per_second": {"batch", "value", "interval",
        "n"}} and, where there are several, "ratio" to the first of them with intervals; "float_ratio" to the one in
        `floats`.
    """
    single = _interleave(models, _batches(inputs, LATENCY_BATCH), rounds, warmup, settle)
    sizes = best_batches(models, inputs) if batch is None else dict.fromkeys(models, batch)
    many = _interleave(models, {name: make(sizes[name]) for name, make in inputs.items()}, throughput_rounds, 1)
    first = next(iter(models))
    found = {}
    for name in models:
        found[name] = {
            "latency_ms": _latency(single[name]),
            "images_per_second": _throughput(many[name], sizes[name]),
        }
        if len(models) > 1:
            of_one = _slower(single, name, first)
            each = {other: np.asarray(many[other]) / sizes[other] for other in (first, name)}
            faster, *of_many = ratio(each[first], each[name])
            found[name]["ratio"] = {
                **of_one,
                "images_per_second": round(faster, 4),
                "images_per_second_interval": [round(bound, 4) for bound in of_many],
                "interval_method": INTERVAL_METHOD,
            }
        if name in (floats or {}):
            found[name]["float_ratio"] = _slower(single, name, floats[name]) | {"interval_method": INTERVAL_METHOD}
    return found


def _slower(times: Mapping[str, list[float]], name: str, to: str) -> dict[str, Any]:
    """How many times as long as another one it takes, with the interval."""
    slower, *bounds = ratio(times[name], times[to])
    return {"to": to, "latency": round(slower, 4), "latency_interval": [round(bound, 4) for bound in bounds]}


def latencies(
    models: Models, inputs: Inputs, *, rounds: int = 200, warmup: int = 5, settle: int = SETTLE
) -> dict[str, dict]:
    """The first half of `bench`: for each name {"p50", "p95", "n", "drift"}, milliseconds at batch 1."""
    times = _interleave(models, _batches(inputs, LATENCY_BATCH), rounds, warmup, settle)
    return {name: _latency(seconds) for name, seconds in times.items()}


def _latency(seconds: list[float]) -> dict[str, float]:
    return {
        "p50": round(1e3 * statistics.median(seconds), 4),
        "p95": round(1e3 * float(np.percentile(seconds, 95)), 4),
        "n": len(seconds),
        "drift": round(drift(seconds), 3),
    }


def _throughput(seconds: list[float], batch: int) -> dict[str, Any]:
    slowest, fastest = (batch / bound for bound in reversed(median_interval(seconds)))
    return {
        "batch": batch,
        "n": len(seconds),
        "value": round(batch / statistics.median(seconds), 1),
        "interval": [round(slowest, 1), round(fastest, 1)],
    }


def _batches(inputs: Inputs, size: int) -> dict[str, Any]:
    return {name: make(size) for name, make in inputs.items()}


def _interleave(
    models: Models, batches: Mapping[str, Any], rounds: int, warmup: int, settle: int = 0
) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in models}
    fastest = dict.fromkeys(models, float("inf"))
    for number in range(-warmup, rounds):
        for name, model in models.items():
            if number >= 0 and fastest[name] < BRIEF:
                for _ in range(settle):
                    model(batches[name])
            start = time.perf_counter()
            model(batches[name])
            took = time.perf_counter() - start
            if number >= 0:
                times[name].append(took)
            else:
                fastest[name] = min(fastest[name], took)
    return times


def best_batches(models: Models, inputs: Inputs, *, most: int = MOST_BATCH, rounds: int = 3) -> dict[str, int]:
    """For each model the power of two, from 1 to `most`, with the most pictures a second; all take turns at each size.

    A model is not tried at larger sizes once a call takes `LONGEST` seconds, or two sizes in a row were no better.
    """
    best = dict.fromkeys(models, (0.0, 1))
    trying, size = dict(models), 1
    while trying and size <= most:
        times = _interleave(trying, {name: inputs[name](size) for name in trying}, rounds, 1)
        for name, seconds in times.items():
            took = statistics.median(seconds)
            best[name] = max(best[name], (size / took, size))
            if took > LONGEST or size >= 4 * best[name][1]:
                del trying[name]
        size *= 2
    return {name: size for name, (_, size) in best.items()}


def noise(rows: Mapping[str, dict]) -> dict:
    """How restless the machine was: medians over the models of p95 / p50 (within), of the drift between rounds, and of
    the bounds of images/s, the upper over the lower.

    Quiet below 1.5, 1.25 and 1.25: beyond it another bench of the same files gives other digits.
    """
    latency = [row["latency_ms"] for row in rows.values()]
    spread = statistics.median(each["p95"] / each["p50"] for each in latency)
    moved = statistics.median(each.get("drift", 1.0) for each in latency)
    known = [row["images_per_second"].get("interval", (1, 1)) for row in rows.values()]
    factor = statistics.median(high / low for low, high in known)
    return {
        "p95_over_p50": round(spread, 3),
        "drift": round(moved, 3),
        "images_per_second": round(factor, 3),
        "quiet": spread < QUIET and moved < STEADY and factor < STEADY,
    }
