"""Latency and throughput of several models in one interleaved run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

LATENCY_BATCH, THROUGHPUT_BATCH = 1, 64
QUIET = 1.5


def bench(
    models: Mapping[str, Callable[[Any], Any]],
    inputs: Mapping[str, Callable[[int], Any]],
    *,
    rounds: int = 200,
    throughput_rounds: int = 12,
    warmup: int = 5,
) -> dict[str, dict]:
    """Time every model in turn, A B C A B C ..., so that a drift of the machine hits all alike.

    Args:
        models: name to a callable that takes a batch.
        inputs: name to a function that makes a batch of a given size.
        rounds: timed calls at batch 1; `throughput_rounds` at batch 64.
    Returns:
        for each name {"latency_ms": {"p50", "p95", "n"}, "images_per_second": {"batch", "value", "n"}}.
    """
    single = latencies(models, inputs, rounds=rounds, warmup=warmup)
    many = _interleave(models, {name: make(THROUGHPUT_BATCH) for name, make in inputs.items()}, throughput_rounds, 1)
    return {
        name: {
            "latency_ms": single[name],
            "images_per_second": {
                "batch": THROUGHPUT_BATCH,
                "n": throughput_rounds,
                "value": round(THROUGHPUT_BATCH / statistics.median(many[name]), 1),
            },
        }
        for name in models
    }


def latencies(
    models: Mapping[str, Callable[[Any], Any]],
    inputs: Mapping[str, Callable[[int], Any]],
    *,
    rounds: int = 200,
    warmup: int = 5,
) -> dict[str, dict]:
    """The first half of `bench`: for each name {"p50", "p95", "n"} in milliseconds at batch 1."""
    times = _interleave(models, {name: make(LATENCY_BATCH) for name, make in inputs.items()}, rounds, warmup)
    return {
        name: {
            "p50": round(1e3 * statistics.median(seconds), 4),
            "p95": round(1e3 * float(np.percentile(seconds, 95)), 4),
            "n": rounds,
        }
        for name, seconds in times.items()
    }


def _interleave(models, batches, rounds: int, warmup: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in models}
    for number in range(-warmup, rounds):
        for name, model in models.items():
            start = time.perf_counter()
            model(batches[name])
            if number >= 0:
                times[name].append(time.perf_counter() - start)
    return times


def noise(rows: Mapping[str, dict]) -> dict:
    """How restless the machine was: the median over models of p95 / p50, quiet below 1.5."""
    spread = statistics.median(row["latency_ms"]["p95"] / row["latency_ms"]["p50"] for row in rows.values())
    return {"p95_over_p50": round(spread, 3), "quiet": spread < QUIET}
