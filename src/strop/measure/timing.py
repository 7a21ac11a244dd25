"""Time the layers of a network on this device, and compare the clock with what was counted."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from .layers import Layer


class Timed(NamedTuple):
    """What the clock said.

    Attributes:
        milliseconds: by module, in the order in which they were entered; "" for the network's own operations.
        p95_over_p50: of whole passes: how restless the machine was.
    """

    milliseconds: dict[str, float]
    p95_over_p50: float


def time_layers(
    model: nn.Module,
    input_size: tuple[int, int, int],
    *,
    device: str = "cpu",
    batch: int = 1,
    rounds: int = 30,
    warmup: int = 5,
) -> Timed:
    """Median milliseconds that each module spends in its own work, without that of modules inside it.

    All layers take turns within each pass, so that a drift of the machine hits all alike. Python's own time for a
    call is part of it, a few microseconds, so very small layers look dearer than they are in an exported file.

    Args:
        rounds: timed passes, after `warmup` passes that don't count.
    """
    double = copy.deepcopy(model).to(device).eval()
    pictures = torch.rand(batch, *input_size, device=device)
    clock = _Clock(device)
    hooks = [hook for name, module in double.named_modules() for hook in clock.watch(name, module)]
    passes = []
    try:
        with torch.inference_mode():
            for number in range(warmup + rounds):
                clock.start()
                double(pictures)
                passes.append(clock.stop()) if number >= warmup else clock.stop()
    finally:
        for hook in hooks:
            hook.remove()
    medians = {name: statistics.median(spent.get(name, 0.0) for spent in passes) for name in passes[0]}
    totals = sorted(sum(spent.values()) for spent in passes)
    return Timed(medians, float(np.percentile(totals, 95)) / statistics.median(totals))


class _Clock:
    """Gives the time between two events to the module that was innermost there."""

    def __init__(self, device: str):
        self.is_cuda = device.startswith("cuda")
        self.path: list[str] = []
        self.marks: list[tuple[str, Any]] = []

    def watch(self, name: str, module: nn.Module) -> list:
        return [
            module.register_forward_pre_hook(lambda *_: self._enter(name)),
            module.register_forward_hook(lambda *_: self._leave()),
        ]

    def start(self) -> None:
        self.path, self.marks = [], []

    def stop(self) -> dict[str, float]:
        if self.is_cuda:
            torch.cuda.synchronize()
        spent: dict[str, float] = {}
        for (name, begin), (_, end) in zip(self.marks, self.marks[1:], strict=False):
            milliseconds = begin.elapsed_time(end) if self.is_cuda else 1e3 * (end - begin)
            spent[name] = spent.get(name, 0.0) + milliseconds
        return spent

    def _enter(self, name: str) -> None:
        self.path.append(name)
        self._mark()

    def _leave(self) -> None:
        self.path.pop()
        self._mark()

    def _mark(self) -> None:
        if self.is_cuda:
            now: Any = torch.cuda.Event(enable_timing=True)
            now.record()
        else:
            now = time.perf_counter()
        self.marks.append((self.path[-1] if self.path else "", now))


def against_clock(layers: Sequence[Layer], milliseconds: Mapping[str, float]) -> dict[str, float | None]:
    """Spearman's rank correlation of the layers' times with their MACs and with their memory access.

    1 means that the count ranks the layers as the clock does; None where all are equal or fewer than three.
    """
    timed = [layer for layer in layers if milliseconds.get(layer.name)]
    times = [milliseconds[layer.name] for layer in timed]
    return {
        "macs": _spearman([layer.macs for layer in timed], times),
        "memory_access": _spearman([layer.memory_access_bytes for layer in timed], times),
    }


def _spearman(counts: Sequence[int], times: Sequence[float]) -> float | None:
    from scipy.stats import spearmanr

    if len(counts) < 3 or len(set(counts)) < 2:
        return None
    return round(float(spearmanr(counts, times).statistic), 3)
