"""Equalisation keeps the float function; bias correction takes the mean of the rounding's effect away."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from strop.deploy.onnx import export_float
from strop.deploy.runtime import OnnxModel
from strop.models import build
from strop.quantize.correct import correct_biases, mean_inputs, rounding_error
from strop.quantize.equalize import equalize
from strop.quantize.layers import find_layers
from strop.quantize.ranges import observe, read_ranges
from strop.quantize.static import prepare
from strop.quantize.static import quantize as quantize_file

SHAPE = (2, 12, 12)


class Chain(torch.nn.Module):
    """Convolution, depthwise with stride, convolution, pooling, linear; the middle two pairs through ReLU."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(2, 8, 3, padding=1)
        self.depthwise = torch.nn.Conv2d(8, 8, 3, padding=1, stride=2, groups=8)
        self.last = torch.nn.Conv2d(8, 6, 3, bias=False)
        self.fc = torch.nn.Linear(6 * 4, 3)

    def forward(self, x):
        x = torch.relu(self.depthwise(torch.relu(self.first(x))))
        return self.fc(torch.nn.functional.max_pool2d(torch.relu(self.last(x)), 2).flatten(1))


def pictures(n=64, seed=0):
    return np.random.default_rng(seed).standard_normal((n, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A prepared file whose channels differ in range by a factor of 1,000."""
    torch.manual_seed(0)
    net = Chain().eval()
    with torch.no_grad():
        net.first.weight.mul_(torch.logspace(-1.5, 1.5, 8)[:, None, None, None])
        net.first.bias.mul_(torch.logspace(-1.5, 1.5, 8))
        net.depthwise.weight.div_(torch.logspace(-1.5, 1.5, 8)[:, None, None, None])
    folder = tmp_path_factory.mktemp("chain")
    export_float(net, SHAPE, folder / "float.onnx")
    prepare(folder / "float.onnx", folder / "prepared.onnx")
    return folder / "prepared.onnx"


def constants(path):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


def relative(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def test_equalisation_keeps_the_function(chain, tmp_path):
    """Three pairs (to the depthwise one, from it, and through pooling and flatten); float answers to rounding."""
    assert equalize(chain, tmp_path / "equal.onnx") == 3
    assert relative(OnnxModel(tmp_path / "equal.onnx")(pictures()), OnnxModel(chain)(pictures())) < 1e-5


def test_equalisation_by_hand(chain, tmp_path):
    """Settled, r1 = r2 in each pair (arXiv:1906.04721, equation 11), from ranges that differed by a factor of 1,000."""
    equalize(chain, tmp_path / "equal.onnx")
    found = constants(tmp_path / "equal.onnx")
    made, depthwise, last = (found[f"{name}.weight"] for name in ("first", "depthwise", "last"))
    r1 = np.abs(made).max((1, 2, 3))
    np.testing.assert_allclose(r1, np.abs(depthwise).max((1, 2, 3)), rtol=0.01)
    np.testing.assert_allclose(np.abs(depthwise).max((1, 2, 3)), np.abs(last).max((0, 2, 3)), rtol=0.01)
    before = np.abs(constants(chain)["first.weight"]).max((1, 2, 3))
    assert before.max() / before.min() > 300 > 30 > r1.max() / r1.min()


def test_equalisation_helps_one_range_a_tensor(chain, tmp_path):
    """Where channels differ by 1,000, a range for all of a tensor loses the small ones; equalised, they are there."""
    errors = []
    for path in (chain, tmp_path / "equal.onnx"):
        if path != chain:
            equalize(chain, path)
        quantize_file(path, tmp_path / "int8.onnx", read_ranges(observe(path, [pictures()]), "minmax"))
        errors.append(relative(OnnxModel(tmp_path / "int8.onnx")(pictures(seed=1)), OnnxModel(chain)(pictures(seed=1))))
    assert errors[1] < 0.5 * errors[0]


def test_networks_without_pairs_are_left_alone(tmp_path):
    """One layer alone has no pair. Of SqueezeNet only the stem and the first squeeze are one; all else branches."""
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(288, 3)).eval()
    export_float(net, SHAPE, tmp_path / "float.onnx")
    prepare(tmp_path / "float.onnx", tmp_path / "prepared.onnx")
    assert equalize(tmp_path / "prepared.onnx", tmp_path / "equal.onnx") == 0
    net = build("squeezenet1_1", num_classes=3, in_chans=2, input_size=32).eval()
    export_float(net, (2, 32, 32), tmp_path / "float.onnx")
    prepare(tmp_path / "float.onnx", tmp_path / "prepared.onnx")
    assert equalize(tmp_path / "prepared.onnx", tmp_path / "equal.onnx") == 1


def test_correction_takes_the_mean_away(chain, tmp_path):
    """Weights of 3 bits in one layer at a time: its mean output is that of float, whatever stride and padding."""
    layers, images = find_layers(chain), pictures()
    means = mean_inputs(chain, layers, [images])
    for layer in layers:
        outputs = []
        correct_biases(chain, tmp_path / "corrected.onnx", [layer], means, {layer.name: 3})
        for path, is_rounded in ((chain, False), (chain, True), (tmp_path / "corrected.onnx", True)):
            model = onnx.load(path)
            node = next(node for node in model.graph.node if node.name == layer.nodes[0])
            weight = next(tensor for tensor in model.graph.initializer if tensor.name == layer.weight)
            if is_rounded:
                values = numpy_helper.to_array(weight)
                values = values + rounding_error(values, 0, 3)
                weight.CopyFrom(numpy_helper.from_array(values.astype(np.float32), layer.weight))
            known = {value.name: value for value in [*model.graph.value_info, *model.graph.output]}
            shown = known[node.output[0]]
            del model.graph.output[:]
            model.graph.output.append(shown)
            onnx.save(model, tmp_path / "shown.onnx")
            out = OnnxModel(tmp_path / "shown.onnx")(images)
            outputs.append(out.mean(tuple(axis for axis in range(out.ndim) if axis != 1)))
        exact, rounded, corrected = outputs
        scale = np.abs(exact).max()
        assert np.abs(rounded - exact).max() > 1e-3 * scale
        np.testing.assert_allclose(corrected, exact, atol=1e-5 * scale)


def test_layers_in_float_are_not_corrected(chain, tmp_path):
    layers = find_layers(chain)
    means = mean_inputs(chain, layers, [pictures()])
    correct_biases(chain, tmp_path / "same.onnx", layers, means, {layer.name: 32 for layer in layers})
    before, after = constants(chain), constants(tmp_path / "same.onnx")
    assert before.keys() == after.keys() and all(np.array_equal(before[name], after[name]) for name in before)


def test_the_error_is_that_of_the_file(chain, tmp_path):
    """w' - w from the integers and scales that the runtime's quantizer wrote, with 8 bits."""
    quantize_file(chain, tmp_path / "int8.onnx", read_ranges(observe(chain, [pictures()]), "minmax"))
    found, weights = constants(tmp_path / "int8.onnx"), constants(chain)["last.weight"]
    wide = found["last.weight_scale"][:, None, None, None]
    np.testing.assert_allclose(
        found["last.weight_quantized"] * wide - weights, rounding_error(weights, 0, 8), atol=1e-3 * wide.max()
    )


def test_calibration_on_one_class_is_worse(tmp_path):
    """Trap: ranges of dark pictures alone cut bright ones off; drawn from both they don't."""
    net = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(400, 3))
    export_float(net.eval(), SHAPE, tmp_path / "float.onnx")
    prepare(tmp_path / "float.onnx", tmp_path / "prepared.onnx")
    dark, bright = 0.1 * pictures(32), 3 + pictures(32, seed=1)
    errors = []
    for shown in (dark, np.concatenate([dark, bright])):
        ranges = read_ranges(observe(tmp_path / "prepared.onnx", [shown]), "minmax")
        quantize_file(tmp_path / "prepared.onnx", tmp_path / "int8.onnx", ranges)
        errors.append(relative(OnnxModel(tmp_path / "int8.onnx")(bright), OnnxModel(tmp_path / "float.onnx")(bright)))
    assert errors[0] > 0.3 and errors[1] < 0.05
