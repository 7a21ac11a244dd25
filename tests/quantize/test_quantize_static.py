"""The int8 file: what is in it, and how near it stays to the float network."""

import logging

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from strop.deploy.onnx import export_float
from strop.deploy.runtime import OnnxModel
from strop.models import build
from strop.quantize import static
from strop.quantize.static import CALIBRATORS, quantize_int8

SHAPE = (1, 16, 16)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A float file of a small convolutional network whose filters differ in size by a factor of 50, and pictures."""
    torch.manual_seed(0)
    net = build("cnn2", num_classes=5, in_chans=1, input_size=16).eval()
    with torch.no_grad():
        net.features[0][0].weight.mul_(torch.logspace(-1, 0.7, 16)[:, None, None, None])
    folder = tmp_path_factory.mktemp("float")
    export_float(net, SHAPE, folder / "float.onnx")
    return net, folder / "float.onnx"


def pictures(n=50, seed=0):
    return np.random.default_rng(seed).standard_normal((n, *SHAPE)).astype(np.float32)


def quantize(source, folder, batches, **options):
    quantize_int8(source, folder / "int8.onnx", batches, **options)
    return folder / "int8.onnx"


def distance(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def constants(path):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


def test_what_is_in_the_file(exported, tmp_path):
    """Pairs of quantize and dequantize; int8 weights with a scale and a zero point of 0 for each output channel."""
    net, source = exported
    path = quantize(source, tmp_path, [pictures()])
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert kinds.count("QuantizeLinear") >= 4 and kinds.count("DequantizeLinear") >= kinds.count("QuantizeLinear")
    found = constants(path)
    for name, layer in (("features.0.0", net.features[0][0]), ("features.1.0", net.features[1][0])):
        weights, scales = found[f"{name}.weight_quantized"], found[f"{name}.weight_scale"]
        assert weights.dtype == np.int8 and scales.shape == (layer.out_channels,)
        assert not found[f"{name}.weight_zero_point"].any() and np.abs(weights.astype(int)).max() <= 127
    assert not any(array.dtype == np.float32 and array.size > 100 for array in found.values())


def test_a_weight_is_its_integer_times_the_scale_of_its_channel(exported, tmp_path, monkeypatch):
    """|w - s_c q| <= s_c / 2, and the largest of each channel uses the full range, however small the channel is."""
    monkeypatch.setattr(static, "_multiplies_int8_exactly", lambda: True)
    net, source = exported
    found = constants(quantize(source, tmp_path, [pictures()]))
    # Batch norm is folded into the convolution: w' = w * gamma / sqrt(var + eps).
    conv, norm = net.features[0][0], net.features[0][1]
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weights = (conv.weight * factor[:, None, None, None]).detach().numpy()
    integers, scales = found["features.0.0.weight_quantized"], found["features.0.0.weight_scale"][:, None, None, None]
    assert (np.abs(weights - scales * integers) <= 0.501 * scales).all()
    assert np.abs(integers.astype(int)).reshape(16, -1).max(1).tolist() == [127] * 16
    assert scales.max() / scales.min() > 10


def test_where_products_overflow_weights_have_seven_bits(exported, tmp_path, monkeypatch):
    """Without VNNI the sum of two 8-bit products may not fit into 16 bits: weights stay within 64."""
    monkeypatch.setattr(static, "_multiplies_int8_exactly", lambda: False)
    found = constants(quantize(exported[1], tmp_path, [pictures()]))
    assert np.abs(found["features.1.0.weight_quantized"].astype(int)).max() == 64


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_close_to_the_float_network(exported, tmp_path, calibrator):
    """On the calibration pictures, in batches of unequal size, logits are within a few percent; answers agree."""
    _, source = exported
    images = pictures()
    path = quantize(source, tmp_path, (images[i : i + 16] for i in range(0, 50, 16)), calibrator=calibrator)
    exact, rounded = OnnxModel(source, threads=1)(images), OnnxModel(path, threads=1)(images)
    assert distance(rounded, exact) < (0.03 if calibrator == "minmax" else 0.15)
    assert (rounded.argmax(1) == exact.argmax(1)).mean() > 0.85
    assert not np.array_equal(rounded, exact)
    assert path.stat().st_size < 0.5 * source.stat().st_size


def test_the_pictures_decide_the_ranges(exported, tmp_path):
    """Calibrated on dark pictures only, bright ones are cut off; calibrated on both, they are not."""
    _, source = exported
    dark, bright = 0.05 * pictures(seed=1), 3 * pictures(seed=2)
    exact = OnnxModel(source, threads=1)(bright)
    errors = []
    for name, images in (("dark", dark), ("both", np.concatenate([dark, bright]))):
        (tmp_path / name).mkdir()
        errors.append(distance(OnnxModel(quantize(source, tmp_path / name, [images]), threads=1)(bright), exact))
    assert errors[1] < 0.05 < 0.5 < errors[0]


def test_the_callers_logging_comes_back(exported, tmp_path):
    """The quantizer's chatter is kept quiet without changing what the caller's program logs afterwards."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    try:
        quantize(exported[1], tmp_path, [pictures()])
        assert root.level == logging.INFO
    finally:
        root.setLevel(before)


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_nothing_is_printed(exported, tmp_path, capsys, calibrator):
    """Standard output belongs to the answer, `--json` for one."""
    quantize(exported[1], tmp_path, [pictures(20)], calibrator=calibrator)
    assert capsys.readouterr().out == ""
