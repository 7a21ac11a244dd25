"""The same file in OpenVINO: float, int8 and INT4 answers, and what is refused."""

import numpy as np
import onnx
import pytest

from strop.deploy.openvino import OpenvinoModel
from strop.deploy.runtime import OnnxModel
from strop.errors import UserError
from strop.quantize.layers import find_layers
from strop.quantize.ranges import observe, read_ranges
from strop.quantize.static import prepare, quantize

pytest.importorskip("openvino", reason="openvino is not installed")


def pictures(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 1, 32, 32)).astype(np.float32)


@pytest.mark.parametrize("bits", [32, 8, 4])
def test_one_file_serves_both_runtimes(exported, tmp_path, bits):
    """Float to 1e-5; quantized to what rounding between two levels can do; for batches of 1, 3 and 1 again."""
    _, path = exported("cnn3")
    if bits < 32:
        prepare(path, tmp_path / "prepared.onnx")
        ranges = read_ranges(observe(tmp_path / "prepared.onnx", [pictures(32)]), "minmax")
        names = [layer.name for layer in find_layers(tmp_path / "prepared.onnx")]
        path = tmp_path / "few.onnx"
        quantize(tmp_path / "prepared.onnx", path, ranges, bits=dict.fromkeys(names, bits))
    ours, theirs = OnnxModel(path, threads=1), OpenvinoModel(path, threads=1)
    assert theirs.shape == ours.shape == (1, 32, 32) and theirs.dtype == ours.dtype == np.float32
    for n in (1, 3, 1):
        expected = ours(pictures(n, seed=1))
        error = np.linalg.norm(theirs(pictures(n, seed=1)) - expected) / np.linalg.norm(expected)
        assert error < (1e-5 if bits == 32 else 0.02)


def test_what_is_no_model_is_refused(exported, tmp_path):
    """Bytes of another kind, and a graph that points at another file, which it would read."""
    (tmp_path / "broken.onnx").write_bytes(b"\xff\x00 no graph")
    with pytest.raises(UserError, match="is no ONNX file"):
        OpenvinoModel(tmp_path / "broken.onnx")
    model = onnx.load(exported("cnn3")[1])
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, "/etc/hostname")
    tensor.ClearField("raw_data")
    (tmp_path / "pointing.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="keeps its weights in another file"):
        OpenvinoModel(tmp_path / "pointing.onnx")
