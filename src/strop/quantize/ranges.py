"""How far activations reach: read off what calibration pictures make a network do, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..errors import RunFailed

CHUNK_BYTES = 64 * 2**20  # activations held at a time, unless those of one picture are more
VALUES = 4096  # of one tensor and picture that go into its histogram
BINS, COARSE, LEVELS = 8192, 1024, 256
PERCENT = 99.99
CANDIDATES = 96
CALIBRATORS = ("minmax", "entropy", "percentile")


class Histogram:
    """Counts over (-reach, reach) in 8192 bins; the reach doubles when a value lies outside.

    Doubling puts each two neighbouring bins together, so one pass is enough, no value is looked at twice, and 64 kB a
    tensor is all that is kept however many pictures there are.

    Attributes:
        low, high: the smallest and the largest value, exactly.
    """

    def __init__(self):
        self.counts = np.zeros(BINS, np.int64)
        self.reach, self.low, self.high = 2.0**-20, np.inf, -np.inf

    def add(self, values: np.ndarray, pictures: int = 1) -> None:
        """Count some values, evenly spread over the tensor where it has more than 4096 a picture.

        Raises:
            RunFailed: one is infinite or no number.
        """
        low, high = float(values.min()), float(values.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise RunFailed("the network's activations are not finite, so they have no range. Train it again.")
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._widen(max(-self.low, self.high))
        step = max(1, values.size // (VALUES * pictures)) | 1  # odd: not always the same columns
        # A power of two as factor and then a floor: exact, so that bins put together later hold the same values.
        place = np.floor(values.ravel()[::step] * (BINS / 2 / self.reach)) + BINS // 2
        self.counts += np.bincount(np.clip(place, 0, BINS - 1).astype(np.int64), minlength=BINS)

    def _widen(self, needed: float) -> None:
        doublings = 0
        while self.reach < needed:
            self.reach, doublings = self.reach * 2, doublings + 1
        if doublings:
            merged = self.counts.reshape(-1, min(2**doublings, BINS // 2)).sum(1)
            self.counts = np.zeros(BINS, np.int64)
            start = (BINS - len(merged)) // 2
            self.counts[start : start + len(merged)] = merged

    def edges(self) -> np.ndarray:
        return np.linspace(-self.reach, self.reach, BINS + 1)


def observe(prepared: Path, batches: Iterable[np.ndarray]) -> dict[str, Histogram]:
    """Run the network over pictures with every tensor shown; a histogram of each.

    In memory are the histograms and one chunk of activations: as many pictures as fit into 64 MiB, at least one.
    (ONNX Runtime's own collectors keep the activations of all pictures.)

    Args:
        prepared: float graph with shapes, from `static.prepare`.
        batches: normalised float32 (B, C, H, W) arrays.
    """
    import onnx
    import onnxruntime

    model = onnx.load(prepared, load_external_data=False)
    graph = model.graph
    made = {output for node in graph.node for output in node.output}  # shapes of what was optimised away stay behind
    shown = {value.name for value in graph.output}
    for value in graph.value_info:
        kind = value.type.tensor_type
        if kind.elem_type == onnx.TensorProto.FLOAT and value.name in made - shown:
            graph.output.append(value)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    source, names = graph.input[0].name, [output.name for output in session.get_outputs()]
    found = {name: Histogram() for name in (source, *names)}
    size = 1
    for batch in batches:
        start = 0
        while start < len(batch):
            chunk = np.ascontiguousarray(batch[start : start + size])
            start, held = start + size, chunk.nbytes
            found[source].add(chunk, len(chunk))
            for name, values in zip(names, session.run(names, {source: chunk}), strict=True):
                found[name].add(values, len(chunk))
                held += values.nbytes
            size = max(1, CHUNK_BYTES * len(chunk) // held)
    return found


def minmax_range(histogram: Histogram) -> tuple[float, float]:
    """All that occurred."""
    return histogram.low, histogram.high


def percentile_range(histogram: Histogram, percent: float = PERCENT) -> tuple[float, float]:
    """All but (100 - percent) / 2 % of the values on either side, to the width of a bin.

    Source: Wu et al., "Integer Quantization for Deep Learning Inference", 2020, arXiv:2004.09602, section 5.
    """
    shares = np.cumsum(histogram.counts) / histogram.counts.sum()
    tail = (100 - percent) / 200
    edges = histogram.edges()
    low, high = edges[np.searchsorted(shares, tail)], edges[1 + np.searchsorted(shares, 1 - tail)]
    return _inside(histogram, low, high)


def entropy_range(histogram: Histogram) -> tuple[float, float]:
    """The cut that loses least information: KL(P || Q) over cuts at -t and t.

    P holds the counts between the cuts, with what lies outside added to its ends; Q is the same without that,
    averaged within each of 256 equal steps over the bins that are not empty.

    Source: Migacz, "8-bit Inference with TensorRT", GTC 2017.
    Unlike it: the range is that of the data on each side, as zero points are not fixed here; 96 cuts are tried; four
    bins a step at most, because with more the chance in few counts outweighs what is cut off.
    """
    counts = histogram.counts.reshape(COARSE, -1).sum(1)
    middle = COARSE // 2
    first, last = np.flatnonzero(counts)[[0, -1]]
    widest = max(middle - first, last + 1 - middle, LEVELS // 2)
    cuts = np.unique(np.linspace(LEVELS // 2, widest, CANDIDATES).astype(int))
    best = min(cuts[::-1], key=lambda cut: _divergence(counts, max(first, middle - cut), min(last + 1, middle + cut)))
    reach = best * histogram.reach / middle
    return _inside(histogram, -reach, reach)


def _divergence(counts: np.ndarray, start: int, stop: int) -> float:
    """KL(P || Q) in nats for what is kept from bin `start` to before `stop`."""
    kept = counts[start:stop].astype(float)
    if not kept.sum():
        return np.inf
    whole = kept.copy()
    whole[0] += counts[:start].sum()
    whole[-1] += counts[stop:].sum()
    step = np.arange(len(kept)) * LEVELS // max(len(kept), LEVELS)
    level = np.bincount(step, kept) / np.maximum(np.bincount(step, kept > 0), 1)
    rounded = np.where(kept > 0, level[step], 0)
    p, q = whole / whole.sum(), np.maximum(rounded / rounded.sum(), 1e-9)
    held = p > 0
    return float((p[held] * np.log(p[held] / q[held])).sum())


def _inside(histogram: Histogram, low: float, high: float) -> tuple[float, float]:
    return max(float(low), histogram.low), min(float(high), histogram.high)


def read_ranges(histograms: dict[str, Histogram], calibrator: str) -> dict[str, tuple[float, float]]:
    """(low, high) of each tensor by one of `CALIBRATORS`."""
    read = {"minmax": minmax_range, "entropy": entropy_range, "percentile": percentile_range}[calibrator]
    return {name: read(histogram) for name, histogram in histograms.items()}
