"""The int8 file: what is in it, and how near it stays to the float network."""

import logging

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from onnxruntime import quantization

from strop.deploy.onnx import export_float
from strop.deploy.runtime import OnnxModel
from strop.models import build
from strop.quantize import static
from strop.quantize.layers import describe_layers, find_layers, read_weights
from strop.quantize.ranges import CALIBRATORS, observe, read_ranges
from strop.quantize.static import quantize as quantize_file
from strop.quantize.static import quantize_int8

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


def test_in_attention_only_layers_with_weights_round(tmp_path):
    """What stands between them stays in float: no Softmax and no product reads whole numbers."""

    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.patch, self.qkv = torch.nn.Conv2d(1, 16, 4, 4), torch.nn.Linear(16, 48)
            self.head = torch.nn.Linear(16, 5)

        def forward(self, images):
            tokens = self.patch(images).flatten(2).transpose(1, 2)
            q, k, v = self.qkv(tokens).chunk(3, -1)
            return self.head((tokens + (q @ k.transpose(1, 2) / 4).softmax(-1) @ v).mean(1))

    torch.manual_seed(0)
    export_float(Attention().eval(), SHAPE, tmp_path / "float.onnx")
    path = quantize(tmp_path / "float.onnx", tmp_path, [pictures()])
    graph = onnx.load(path).graph
    whole = {output for node in graph.node if node.op_type == "DequantizeLinear" for output in node.output}
    layers = [node for node in graph.node if len(node.input) > 1 and set(node.input[:2]) <= whole]
    assert sorted(node.op_type for node in layers) == ["Conv", "Gemm", "MatMul"]
    assert not any(whole & set(node.input) for node in graph.node if node.op_type in ("Softmax", "Mul", "ReduceMean"))
    x = pictures(20, seed=3)
    assert distance(OnnxModel(path)(x), OnnxModel(tmp_path / "float.onnx")(x)) < 0.03


def test_a_weight_is_its_integer_times_the_scale_of_its_channel(exported, tmp_path, monkeypatch):
    """|w - s_c q| <= s_c / 2, and the largest of each channel uses the full range, however small the channel is."""
    monkeypatch.setattr(static, "multiplies_int8_exactly", lambda: True)
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
    monkeypatch.setattr(static, "multiplies_int8_exactly", lambda: False)
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


def test_minmax_is_that_of_onnx_runtime(exported, tmp_path, monkeypatch):
    """The same integers, zero points and (to the last bit of a float) scales as its own calibration gives."""
    monkeypatch.setattr(static, "multiplies_int8_exactly", lambda: True)
    static.prepare(exported[1], tmp_path / "prepared.onnx")

    class Reader(quantization.CalibrationDataReader):
        feeds = iter([{"input": picture[None]} for picture in pictures()])

        def get_next(self):
            return next(self.feeds, None)

    quantization.quantize_static(
        str(tmp_path / "prepared.onnx"),
        str(tmp_path / "theirs.onnx"),
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    ours, theirs = constants(quantize(exported[1], tmp_path, [pictures()])), constants(tmp_path / "theirs.onnx")
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-6, err_msg=name)


@pytest.fixture(scope="module")
def prepared(exported, tmp_path_factory):
    """The network made ready, its ranges and its layers."""
    path = tmp_path_factory.mktemp("prepared") / "prepared.onnx"
    static.prepare(exported[1], path)
    return path, read_ranges(observe(path, [pictures()]), "minmax"), find_layers(path)


@pytest.mark.parametrize("bits", [3, 4, 6])
def test_fewer_bits_by_hand(prepared, tmp_path, bits):
    """q = round(w / s), s = max |w_c| / (2^(b-1) - 1), from the float weights and not from their 8-bit form."""
    source, ranges, layers = prepared
    quantize_file(source, tmp_path / "few.onnx", ranges, bits={layer.name: bits for layer in layers})
    found, weights = constants(tmp_path / "few.onnx"), read_weights(source)
    for layer in layers:
        name = f"{layer.weight}_quantized" + ("_int4" if bits <= 4 else "")
        scale = np.abs(weights[layer.weight]).reshape(layer.shape[0], -1).max(1) / (2 ** (bits - 1) - 1)
        wide = scale.reshape(-1, *[1] * (len(layer.shape) - 1))
        integers = found[name].astype(np.float32)
        assert np.abs(integers).max() == 2 ** (bits - 1) - 1
        assert np.abs(integers - weights[layer.weight] / wide).max() <= 0.5001
        np.testing.assert_allclose(found[f"{layer.weight}_scale"], scale, rtol=1e-6)


def test_packed_computes_what_unpacked_computes(prepared, tmp_path, monkeypatch):
    """INT4 with a Cast behind it: the same bits come out, from half the bytes of weights, in int8 kernels."""
    source, ranges, layers = prepared
    bits = {layer.name: 4 for layer in layers}
    quantize_file(source, tmp_path / "packed.onnx", ranges, bits=bits)
    monkeypatch.setattr(static, "pack_layers", lambda path, nodes: None)
    quantize_file(source, tmp_path / "plain.onnx", ranges, bits=bits)
    packed, plain = (OnnxModel(tmp_path / f"{name}.onnx", threads=1)(pictures()) for name in ("packed", "plain"))
    assert np.array_equal(packed, plain)
    weights = sum(layer.size for layer in layers)
    saved = (tmp_path / "plain.onnx").stat().st_size - (tmp_path / "packed.onnx").stat().st_size
    assert weights / 2 - 500 < saved < weights / 2
    kinds = [tensor.data_type for tensor in onnx.load(tmp_path / "packed.onnx").graph.initializer]
    assert kinds.count(onnx.TensorProto.INT4) == 3
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(tmp_path / "packed.onnx", options, providers=["CPUExecutionProvider"])
    used = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert used.count("QLinearConv") == 2 and not {"Cast", "Conv", "DequantizeLinear"} & set(used[:-1])


def test_a_layer_in_float_and_a_layer_alone(prepared, tmp_path):
    """32 bits leaves a layer as it was; `only` leaves all the others."""
    source, ranges, layers = prepared
    first = layers[0]
    quantize_file(source, tmp_path / "kept.onnx", ranges, bits={first.name: 32})
    quantize_file(source, tmp_path / "alone.onnx", ranges, bits={first.name: 4}, only=first)
    kept = describe_layers(tmp_path / "kept.onnx", layers, {first.name: 32, layers[1].name: 8, layers[2].name: 8})
    alone = describe_layers(tmp_path / "alone.onnx", layers, {first.name: 4})
    assert [row["stored_bits"] for row in kept] == [32, 8, 8]
    assert [row["stored_bits"] for row in alone] == [4, 32, 32]
    assert np.array_equal(constants(tmp_path / "kept.onnx")[first.weight], read_weights(source)[first.weight])


def test_the_table_by_hand(prepared, tmp_path):
    """Bytes of the first layer (16 filters of 25): 400 / 2 for INT4, 16 scales of 4 bytes, 16 zero points of 1."""
    source, ranges, layers = prepared
    bits = {layer.name: 4 for layer in layers}
    quantize_file(source, tmp_path / "few.onnx", ranges, bits=bits)
    row, second, _ = describe_layers(tmp_path / "few.onnx", layers, bits)
    integers = constants(tmp_path / "few.onnx")[f"{layers[0].weight}_quantized_int4"]
    assert row == {
        "layer": "features.0.0",
        "shape": [16, 1, 5, 5],
        "weights": 400,
        "sparsity": (integers == 0).mean(),
        "bits": 4,
        "stored_bits": 4,
        "bytes_before": 1600,
        "bytes_after": 200 + 64 + 16,
        "ratio": 5.714,
    }
    assert second["bytes_after"] == 32 * 16 * 25 / 2 + 32 * 5


def test_nothing_lies_outside_the_file(prepared, tmp_path):
    """No external data, whatever the bits."""
    source, ranges, layers = prepared
    quantize_file(source, tmp_path / "few.onnx", ranges, bits={layers[1].name: 4})
    assert [path.name for path in tmp_path.iterdir()] == ["few.onnx"]
    assert not any(tensor.external_data for tensor in onnx.load(tmp_path / "few.onnx").graph.initializer)
