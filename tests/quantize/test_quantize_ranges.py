"""Ranges of activations: exact where they must be, near what the formulas say, in bounded memory."""

import tracemalloc

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from strop.errors import RunFailed
from strop.quantize import ranges
from strop.quantize.ranges import Histogram, entropy_range, minmax_range, observe, percentile_range


def counted(*parts):
    histogram = Histogram()
    for part in parts:
        histogram.add(np.asarray(part, np.float32), max(1, len(part)))
    return histogram


@pytest.fixture
def doubled(tmp_path):
    """A graph that doubles its (B, 1, 32, 32) input twice; both results are float tensors.

    As ONNX Runtime's preparation leaves it: with the shape of a constant, and of a tensor that was optimised away.
    """
    shape = ["batch", 1, 32, 32]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "two"], ["h"]), helper.make_node("Mul", ["h", "two"], ["y"])],
        "doubled",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.float32(2), "two")],
        value_info=[helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("h", "gone")]
        + [helper.make_tensor_value_info("two", TensorProto.FLOAT, [])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "f.onnx")
    return tmp_path / "f.onnx"


def test_the_extremes_are_exact(doubled):
    """Whatever the histogram leaves out; each tensor has its own."""
    images = np.random.default_rng(0).standard_normal((40, 1, 32, 32)).astype(np.float32)
    images[7, 0, 3, 5], images[31, 0, 0, 0] = 9.5, -7.25
    found = observe(doubled, (images[i : i + 16] for i in range(0, 40, 16)))
    assert {name: minmax_range(histogram) for name, histogram in found.items()} == {
        "x": (-7.25, 9.5),
        "h": (-14.5, 19.0),
        "y": (-29.0, 38.0),
    }


def test_pieces_give_the_counts_of_the_whole():
    """Doubling the reach puts bins together without losing or moving a count: small values first, then large."""
    parts = [np.random.default_rng(n).normal(0, scale, 2000) for n, scale in enumerate((1e-4, 1.0, 30.0))]
    together = counted(np.concatenate(parts))
    apart = counted(*parts)
    assert (apart.reach, apart.counts.sum()) == (together.reach, 6000)
    assert np.array_equal(apart.counts, together.counts)


def test_percentile_of_a_uniform_spread():
    """Of uniform values in [-1, 3], 0.5 % on each side are cut at 99 %: -0.98 and 2.98, to a bin of 8 / 8192."""
    histogram = counted(*np.random.default_rng(0).uniform(-1, 3, (100, 4000)))
    low, high = percentile_range(histogram, 99.0)
    assert low == pytest.approx(-0.98, abs=0.005) and high == pytest.approx(2.98, abs=0.005)


def test_a_lone_outlier_is_cut_by_percentile_and_entropy():
    """One value of 100 among 400,000 normal ones would leave 6 levels to the others; minmax keeps it.

    Entropy cuts at no less than a quarter of its reach, here 128 / 4.
    """
    values = np.random.default_rng(0).standard_normal((100, 4000))
    values[0, 0] = 100.0
    histogram = counted(*values)
    assert minmax_range(histogram)[1] == 100
    assert 3 < percentile_range(histogram)[1] < 5
    assert 32 <= entropy_range(histogram)[1] < 75


def test_entropy_keeps_what_is_uniform():
    """Nothing is gained by cutting a flat spread: 256 steps fit it without loss of information."""
    low, high = entropy_range(counted(*np.random.default_rng(0).uniform(-1, 1, (100, 4000))))
    assert low < -0.97 and high > 0.97


@pytest.mark.parametrize("read", [minmax_range, percentile_range, entropy_range])
@pytest.mark.parametrize("value", [0.0, 1e-30, -3.0, 1e30])
def test_a_constant_has_a_range(read, value):
    """Dead channels, and layers whose answer never changes."""
    low, high = read(counted(np.full((2, 50), value)))
    assert low <= np.float32(value) <= high and np.isfinite([low, high]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value):
    """Its scale would be no number, and the file would answer with one class."""
    with pytest.raises(RunFailed, match="activations are not finite"):
        counted([[1.0, value]])


def test_memory_does_not_grow_with_the_pictures(doubled, monkeypatch):
    """At a bound of 64 kB (8 pictures of 4 + 4 + 4 kB, less), 400 pictures take what 40 take; and chunks are small."""
    monkeypatch.setattr(ranges, "CHUNK_BYTES", 64 * 1024)
    seen = []
    add = Histogram.add
    monkeypatch.setattr(Histogram, "add", lambda self, values, n=1: (seen.append(values.nbytes), add(self, values, n)))
    rng = np.random.default_rng(0)
    peaks = []
    for count in (40, 400):
        batches = (rng.standard_normal((20, 1, 32, 32)).astype(np.float32) for _ in range(count // 20))
        tracemalloc.start()
        observe(doubled, batches)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]
    assert max(seen) == 5 * 4096 and len(seen) >= 3 * 440 / 5
