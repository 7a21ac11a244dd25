"""The same file in OpenVINO: float, int8 and INT4 answers, and what is refused."""

import numpy as np
import onnx
import pytest

from strop.deploy.onnx import merge_preprocessing
from strop.deploy.openvino import OpenvinoModel
from strop.deploy.runtime import OnnxModel
from strop.deploy.settings import Settings
from strop.errors import UserError
from strop.quantize.layers import find_layers
from strop.quantize.ranges import observe, read_ranges
from strop.quantize.static import prepare, quantize

openvino = pytest.importorskip("openvino", reason="openvino is not installed")


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


@pytest.fixture(scope="module")
def merged(exported, tmp_path_factory):
    """An exported file of cnn3 in RGB at 32 px."""
    path = tmp_path_factory.mktemp("merged") / "model.onnx"
    settings = Settings(input_size=32, channels=3, mean=[0.3, 0.4, 0.5], std=[0.2, 0.3, 0.4])
    merge_preprocessing(exported("cnn3", 3)[1], path, settings, [f"class {n}" for n in range(10)])
    return path


@pytest.mark.parametrize(
    "sides", [[(32, 32)], [(20, 27), (32, 32)], [(50, 40), (32, 32), (33, 32)], [(32, 40), (7, 9)]]
)
def test_compiled_once_for_every_shape_the_first_answers_are_right(merged, sides):
    """As a user compiles the file. Each call may be the first to need so much memory, which moves what is in it."""
    ours = OnnxModel(merged, threads=1)
    theirs = openvino.Core().compile_model(str(merged), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for batch in (1, 4, 2, 16):
        for height, width in sides:
            images = np.random.default_rng(batch).integers(0, 256, (batch, height, width, 3), dtype=np.uint8)
            assert np.abs(theirs(images)[0] - ours(images)).max() < 1e-3


def test_pictures_of_any_size_are_run_by_one_network(merged, monkeypatch):
    """Squares are compiled for their shape, what has to be scaled once for all; answers are those of ONNX Runtime."""
    compiled = []
    compile_ = OpenvinoModel._compile
    monkeypatch.setattr(OpenvinoModel, "_compile", lambda self, shape: (compiled.append(shape), compile_(self, shape)))
    ours, theirs = OnnxModel(merged, threads=1), OpenvinoModel(merged, threads=1)
    for shape in ((2, 32, 32, 3), (2, 40, 33, 3), (1, 32, 50, 3), (3, 20, 27, 3), (2, 32, 32, 3)):
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        assert np.abs(theirs(images) - ours(images)).max() < 1e-3
    assert compiled == [(2, 32, 32, 3), ()]


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
