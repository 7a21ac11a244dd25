"""A network that rounds while it trains: the rounding by hand, where it is, and the file that rounds the same way."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

pytest.importorskip("torchao", reason="torchao is not installed")


from strop.deploy.onnx import export_float
from strop.models import build
from strop.quantize.aten import aten, export_graph
from strop.quantize.fake import PerChannelWeights, PerTensorRange
from strop.quantize.layers import describe_layers, name_layers
from strop.quantize.qat import FakeQuantized, to_integers
from strop.quantize.static import pack_layers
from strop.quantize.weights import channel_scales

SHAPE = (1, 16, 16)


def lively(net):
    """Batch norms as after some training, not as they begin."""
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.1, generator=generator)
    return net.eval()


def pictures(n=32, seed=0, shape=SHAPE):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


def per_channel(bits):
    n = 2 ** (bits - 1) - 1
    return PerChannelWeights(torch.int8, -n, n, torch.per_channel_symmetric, 0)


def per_tensor():
    return PerTensorRange(torch.uint8, 0, 255, torch.per_tensor_affine)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A network with rounding, its float original, and its file."""
    torch.manual_seed(0)
    net = lively(build("cnn2", num_classes=5, in_chans=1, input_size=16))
    rounded = FakeQuantized(net, SHAPE)
    rounded.observe([pictures(seed=1), pictures(seed=2)])
    path = tmp_path_factory.mktemp("learned") / "model.onnx"
    export_float(to_integers(rounded, SHAPE), SHAPE, path)
    return rounded, net, path, name_layers(path, rounded.layers)


@pytest.mark.parametrize("bits", [3, 4, 8])
def test_weights_round_as_those_of_a_file(bits):
    """w_q = s round(w / s) with the scales of `channel_scales`; every weight of a channel is a whole multiple."""
    weights = torch.randn(6, 3, 5, 5) * torch.logspace(-2, 1, 6)[:, None, None, None]
    scales = torch.from_numpy(channel_scales(weights.numpy(), 0, bits))
    expected = scales[:, None, None, None] * (weights / scales[:, None, None, None]).round()
    torch.testing.assert_close(per_channel(bits)(weights), expected)


def test_weights_of_zero_stay_zero():
    """A channel that pruning silenced has the scale 1, and no division by 0."""
    rounding = per_channel(8)
    assert not rounding(torch.zeros(2, 3, 1, 1)).any()
    assert rounding.calculate_qparams()[0].tolist() == [1, 1]


def test_activations_by_hand():
    """-1 to 3 in 255 steps: s = 4/255, z = round(255/4) = 64; 0 is 0 exactly; 9 is cut off to (255 - 64) s."""
    rounding = per_tensor()
    rounding.train()(torch.tensor([-1.0, 3.0]))
    scale, zero = rounding.calculate_qparams()
    assert (float(scale), int(zero)) == (pytest.approx(4 / 255), 64)
    out = rounding.eval()(torch.tensor([0.0, 1.0, 9.0]))
    assert out[0] == 0
    np.testing.assert_allclose(out[1:], [round(255 / 4) * 4 / 255, 191 * 4 / 255], rtol=1e-6)


def test_ranges_follow_batches_only_in_training():
    """Evenly averaged at first: highs 2 and 4 make 3. In eval mode nothing moves. A range always holds 0."""
    rounding = per_tensor()
    for high in (2.0, 4.0):
        rounding.is_due = True
        rounding.train()(torch.tensor([1.0, high]))
    assert (float(rounding.low), float(rounding.high)) == (0, 3)
    rounding.is_due = True
    rounding.eval()(torch.tensor([-50.0, 50.0]))
    assert (float(rounding.low), float(rounding.high)) == (0, 3)


def test_gradient_passes_through():
    """1 inside of the range, 0 outside; 1 for every weight, as none is cut off."""
    rounding = per_tensor()
    rounding.train()(torch.tensor([0.0, 1.0]))
    values = torch.tensor([0.3, 0.77, 5.0, -2.0], requires_grad=True)
    rounding.eval()(values).sum().backward()
    assert values.grad.tolist() == [1, 1, 0, 0]
    weights = torch.randn(4, 2, 3, 3, requires_grad=True)
    per_channel(4)(weights).sum().backward()
    assert torch.equal(weights.grad, torch.ones_like(weights))


@pytest.mark.parametrize("eps", [1e-5, 1e-1])
def test_batch_norms_fold(eps):
    """The graph computes what the network did, whatever eps; the network itself is left as it was."""
    torch.manual_seed(0)
    net = lively(
        torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3, bias=False), torch.nn.BatchNorm2d(4, eps=eps), torch.nn.ReLU(inplace=True),
            torch.nn.Conv2d(4, 4, 3, groups=4), torch.nn.BatchNorm2d(4, eps=eps), torch.nn.Dropout(0.5),
            torch.nn.Flatten(), torch.nn.Linear(576, 3),
        )
    )  # fmt: skip
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    graph = export_graph(net, SHAPE)
    torch.testing.assert_close(graph(pictures()), net(pictures()), rtol=1e-4, atol=1e-5)
    assert not {aten.batch_norm.default, aten.dropout.default, aten.relu_.default} & {
        node.target for node in graph.graph.nodes
    }
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_a_relu_used_in_several_places():
    """Trap: torchao's own quantizers refuse ResNet, whose blocks use one ReLU twice. All 21 layers are rounded here."""
    rounded = FakeQuantized(lively(build("resnet18", num_classes=10, in_chans=3, input_size=32)), (3, 32, 32))
    assert sum(isinstance(module, PerChannelWeights) for module in rounded.modules()) == len(rounded.layers) == 21
    rounded.observe([pictures(8, shape=(3, 32, 32))])
    assert all(float(found.high) > 0 for found in rounded.modules() if isinstance(found, PerTensorRange))


def test_layers_of_32_bits_stay_in_float():
    """With all of them so nothing is rounded, nor pooling and ReLU between them: the answers are the graph's own."""
    net = lively(build("cnn3", num_classes=5, in_chans=1, input_size=16))
    names = FakeQuantized(net, SHAPE).layers
    whole = FakeQuantized(net, SHAPE, dict.fromkeys(names, 32))
    whole.observe([pictures()])
    assert torch.equal(whole(pictures(seed=3)), export_graph(net, SHAPE)(pictures(seed=3)))
    one = FakeQuantized(net, SHAPE, {names[1]: 32})
    places = {node.target for node in one.inner.graph.nodes if node.op == "call_module"}
    found = [one.inner.get_submodule(place) for place in places]
    assert sum(isinstance(module, PerChannelWeights) for module in found) == len(names) - 1


def test_layers_of_attention_keep_their_names(tmp_path):
    """The export of a product of matrices drops names; the table of layers has them all, a tied weight once."""

    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.patch, self.qkv = torch.nn.Conv2d(1, 8, 4, 4), torch.nn.Linear(8, 24)
            self.head, self.mix, self.again = torch.nn.Linear(8, 5), torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
            self.again.weight = self.mix.weight

        def forward(self, images):
            tokens = self.patch(images).flatten(2).transpose(1, 2)
            q, k, v = (part[:, None] for part in self.qkv(self.again(self.mix(tokens))).chunk(3, -1))
            return self.head(torch.nn.functional.scaled_dot_product_attention(q, k, v)[:, 0].mean(1))

    rounded = FakeQuantized(Attention().eval(), SHAPE, {"qkv": 32})
    rounded.observe([pictures(4)])
    path = tmp_path / "model.onnx"
    export_float(to_integers(rounded, SHAPE), SHAPE, path)
    rows = describe_layers(path, name_layers(path, rounded.layers), {})
    stored = {row["layer"]: row["stored_bits"] for row in rows}
    assert stored == {"patch": 8, "again": 8, "qkv": 32, "head": 8}


def test_what_is_in_the_learned_file(learned):
    """Integers are round(w / s) of the folded weights, scales those of `channel_scales`, ranges those in the state."""
    rounded, _, path, layers = learned
    graph = onnx.load(path).graph
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = {node.input[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    for layer in layers:
        weights = rounded.inner.get_parameter(f"{layer.name}.weight").detach().numpy()
        scales = found[nodes[layer.weight].input[1]]
        np.testing.assert_allclose(scales, channel_scales(weights, 0, 8), rtol=1e-6)
        wide = scales.reshape(-1, *[1] * (weights.ndim - 1))
        assert np.abs(found[layer.weight] - weights / wide).max() <= 0.5001
    written = sorted({float(found[node.input[1]]) for node in graph.node if node.op_type == "QuantizeLinear"})
    ranges = [module for module in rounded.modules() if isinstance(module, PerTensorRange)]
    np.testing.assert_allclose(written, sorted(float(each.calculate_qparams()[0]) for each in ranges), rtol=1e-6)


def test_the_learned_file_answers_as_the_network(learned):
    """Step by step, without what the runtime fuses: to rounding. And fused: every convolution is one of integers."""
    rounded, net, path, _ = learned
    images = pictures(16, seed=5)
    with torch.no_grad():
        expected, before = rounded(images).numpy(), net(images).numpy()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    plain = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    out = plain.run(None, {plain.get_inputs()[0].name: images.numpy()})[0]
    assert np.linalg.norm(out - expected) < 0.003 * np.linalg.norm(expected)
    assert 0.001 < np.linalg.norm(expected - before) / np.linalg.norm(before) < 0.05
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path.with_name("fused.onnx"))
    fused = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    out = fused.run(None, {fused.get_inputs()[0].name: images.numpy()})[0]
    assert np.linalg.norm(out - expected) < 0.02 * np.linalg.norm(expected)
    kinds = [node.op_type for node in onnx.load(path.with_name("fused.onnx")).graph.node]
    assert kinds.count("QLinearConv") == 2 and "Conv" not in kinds


def test_four_learned_bits_are_packed(tmp_path):
    """INT4 in the file of a network that was trained with 4 bits: same answers as before packing, half the bytes."""
    torch.manual_seed(0)
    rounded = FakeQuantized(lively(build("cnn2", num_classes=5, in_chans=1, input_size=16)), SHAPE, {"features.1.0": 4})
    rounded.observe([pictures()])
    path = tmp_path / "model.onnx"
    export_float(to_integers(rounded, SHAPE), SHAPE, path)
    layers = name_layers(path, rounded.layers)
    run = lambda: onnxruntime.InferenceSession(path).run(None, {"input": pictures(4).numpy()})[0]  # noqa: E731
    before = run()
    pack_layers(path, {layer.nodes[0] for layer in layers if layer.name == "features.1.0"})
    np.testing.assert_array_equal(run(), before)
    rows = {row["layer"]: row for row in describe_layers(path, layers, {"features.1.0": 4})}
    assert rows["features.1.0"]["stored_bits"] == 4 and rows["fc"]["stored_bits"] == 8


def test_made_again_it_goes_on(learned):
    """The state holds all that training moves: loaded into a new one it gives the same bits."""
    rounded, net, _, _ = learned
    again = FakeQuantized(net, SHAPE)
    again.load_state_dict(rounded.state_dict())
    assert torch.equal(again.eval()(pictures()), rounded.eval()(pictures()))
