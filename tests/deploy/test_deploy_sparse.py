"""Exported files without their zeros: the same numbers to the bit, from fewer bytes, as fast."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from strop.deploy.sparse import is_worth_packing, pack_zeros, packed_bytes


def session(path: Path, optimized: Path | None = None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if optimized:
        options.optimized_model_filepath = str(optimized)
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def write_product(path: Path, weight: np.ndarray) -> None:
    """A file that multiplies (B, I) by the weight (I, O)."""
    inner, outer = weight.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "fc.weight"], ["logits"])],
        "product",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", inner])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", outer])],
        [numpy_helper.from_array(weight, "fc.weight")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def sparse_weight(inner: int, outer: int, nonzero: int) -> np.ndarray:
    """The first and the last are among those that are not zero."""
    rng, weight = np.random.default_rng(0), np.zeros(inner * outer, np.float32)
    places = rng.choice(np.arange(1, weight.size - 1), nonzero - 2, replace=False)
    weight[[0, -1, *places]] = rng.normal(size=nonzero)
    return weight.reshape(inner, outer)


@pytest.mark.parametrize(("inner", "outer"), [(64, 48), (256, 256), (257, 256)])
def test_a_file_without_zeros_computes_the_same(inner, outer, tmp_path):
    """To the bit, on both sides of 65,536 weights; the sizes are those that tables say; the file is valid."""
    weight = sparse_weight(inner, outer, inner * outer // 10)
    dense, packed = tmp_path / "dense.onnx", tmp_path / "packed.onnx"
    for path in (dense, packed):
        write_product(path, weight)
    assert pack_zeros(packed) == ["fc.weight"]
    onnx.checker.check_model(onnx.load(packed), full_check=True)
    x = np.random.default_rng(1).normal(size=(3, inner)).astype(np.float32)
    before, after = (session(path).run(None, {"input": x})[0] for path in (dense, packed))
    assert np.array_equal(before, after)
    saved = dense.stat().st_size - packed.stat().st_size
    assert 0 <= weight.nbytes - packed_bytes(weight.size, weight.size // 10) - saved < 1000


def test_the_runtime_puts_them_back_when_it_loads(tmp_path):
    """So zeros save no time and cost none: the graph that ONNX Runtime runs is the dense one."""
    path, optimized = tmp_path / "packed.onnx", tmp_path / "optimized.onnx"
    write_product(path, sparse_weight(257, 256, 6000))
    pack_zeros(path)
    session(path, optimized)
    assert [node.op_type for node in onnx.load(optimized).graph.node] == ["MatMul"]


def test_what_would_not_become_smaller_stays(tmp_path):
    """Few zeros, or few weights: not a byte of the file changes."""
    path = tmp_path / "dense.onnx"
    for weight in (sparse_weight(64, 48, 2800), sparse_weight(8, 8, 2)):
        write_product(path, weight)
        before = path.read_bytes()
        assert pack_zeros(path) == [] and path.read_bytes() == before


def test_bytes_of_positions():
    """Two bytes to 65,536 weights, three to 16.8 million, then four: 6, 7 and 8 with the value."""
    assert (packed_bytes(65_536, 10), packed_bytes(65_537, 10), packed_bytes(2**24 + 1, 10)) == (60, 70, 80)
    assert is_worth_packing(65_536, 43_000) and not is_worth_packing(65_536, 43_700)  # two thirds, and the operators
