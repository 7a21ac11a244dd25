"""Latency and throughput of several models in one interleaved run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .rounds import INTERVAL_METHOD, drift, ratio

LATENCY_BATCH, THROUGHPUT_BATCH = 1, 64
QUIET = 1.5
STEADY = 1.25
MOST_BATCH, LONGEST = 256, 2.0

Models = Mapping[str, Callable[[Any], Any]]
Inputs = Mapping[str, Callable[[int], Any]]


def bench(
    models: Models,
    inputs: Inputs,
    *,
    rounds: int = 200,
    throughput_rounds: int = 12,
    warmup: int = 5,
    batch: int | None = THROUGHPUT_BATCH,
    floats: Mapping[str, str] | None = None,
) -> dict[str, dict]:
    """Time every model in turn, A B C A B C ..., so that a drift of the machine hits all alike.

    Args:
        models: name to a callable that takes a batch.
        inputs: name to a function that makes a batch of a given size.
        rounds: timed calls at batch 1; `throughput_rounds` at `batch`.
        batch: pictures of a call for the throughput; None tries powers of two for each model.
        floats: name of a quantized model to that of the float model it was made from.
    Returns:
        for each name {"latency_ms": {"p50", "p95", "n", "drift"}, "images_per_second": {"batch", "value", "n"}} and,
        where there are several, "ratio" to the first of them with intervals; "float_ratio" to the one in `floats`.
    """
    single = _interleave(models, _batches(inputs, LATENCY_BATCH), rounds, warmup)
    sizes = best_batches(models, inputs) if batch is None else dict.fromkeys(models, batch)
    many = _interleave(models, {name: make(sizes[name]) for name, make in inputs.items()}, throughput_rounds, 1)
    first = next(iter(models))
    found = {}
    for name in models:
        found[name] = {
            "latency_ms": _latency(single[name]),
            "images_per_second": {
                "batch": sizes[name],
                "n": throughput_rounds,
                "value": round(sizes[name] / statistics.median(many[name]), 1),
            },
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


def latencies(models: Models, inputs: Inputs, *, rounds: int = 200, warmup: int = 5) -> dict[str, dict]:
    """The first half of `bench`: for each name {"p50", "p95", "n", "drift"}, milliseconds at batch 1."""
    times = _interleave(models, _batches(inputs, LATENCY_BATCH), rounds, warmup)
    return {name: _latency(seconds) for name, seconds in times.items()}


def _latency(seconds: list[float]) -> dict[str, float]:
    return {
        "p50": round(1e3 * statistics.median(seconds), 4),
        "p95": round(1e3 * float(np.percentile(seconds, 95)), 4),
        "n": len(seconds),
        "drift": round(drift(seconds), 3),
    }


def _batches(inputs: Inputs, size: int) -> dict[str, Any]:
    return {name: make(size) for name, make in inputs.items()}


def _interleave(models: Models, batches: Mapping[str, Any], rounds: int, warmup: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in models}
    for number in range(-warmup, rounds):
        for name, model in models.items():
            start = time.perf_counter()
            model(batches[name])
            if number >= 0:
                times[name].append(time.perf_counter() - start)
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
    """How restless the machine was: medians over the models of p95 / p50 (within) and of the drift between rounds.

    Quiet below 1.5 and 1.25: beyond it another bench of the same files gives other digits.
    """
    latency = [row["latency_ms"] for row in rows.values()]
    spread = statistics.median(each["p95"] / each["p50"] for each in latency)
    moved = statistics.median(each.get("drift", 1.0) for each in latency)
    return {
        "p95_over_p50": round(spread, 3),
        "drift": round(moved, 3),
        "quiet": spread < QUIET and moved < STEADY,
    }
