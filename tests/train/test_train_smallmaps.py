"""The fast way for small maps: the same mathematics, and no trace of it afterwards."""

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from strop.deploy.onnx import export_float
from strop.deploy.runtime import OnnxModel
from strop.train.smallmaps import MAX_POSITIONS, MIN_CHANNELS, fast_small_maps, fits, small_map_conv

SHAPES = [
    (size, height, width, stride, padding)
    for size, height, width, stride, padding in itertools.product((1, 3), range(1, 5), range(1, 5), (1, 2), (0, 1))
    if padding < size <= min(height, width) + 2 * padding
]


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize(("size", "height", "width", "stride", "padding"), SHAPES)
def test_equals_conv2d(size, height, width, stride, padding, biased):
    """Values and all gradients in float64, over every small size, stride and padding."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator, requires_grad=True)

    leaves = [draw(3, 5, height, width), draw(7, 5, size, size)] + ([draw(7)] if biased else [])
    images, weight, bias = (*leaves, None)[:3]
    fast = small_map_conv(images, weight, bias, stride=stride, padding=padding)
    exact = F.conv2d(images, weight, bias, stride=stride, padding=padding)
    torch.testing.assert_close(fast, exact, rtol=0, atol=1e-10)
    upstream = torch.randn(exact.shape, dtype=torch.float64, generator=generator)
    for ours, theirs in zip(
        torch.autograd.grad(fast, leaves, upstream), torch.autograd.grad(exact, leaves, upstream), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_taps_in_the_padding_get_no_gradient():
    """On a 1 x 1 map only the centre of the kernel sees the picture."""
    weight = torch.randn(4, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    small_map_conv(torch.ones(1, 2, 1, 1, dtype=torch.float64), weight, None, stride=1, padding=1).sum().backward()
    assert (weight.grad != 0).sum() == 8 and (weight.grad[:, :, 1, 1] == 1).all()


def test_an_inplace_activation_may_follow():
    """As in SqueezeNet and in VGG without norms; the gradients are those of the ordinary layers."""
    layers = nn.Sequential(
        deep_conv(), nn.ReLU(inplace=True), deep_conv(kernel_size=1, padding=0), nn.ReLU(inplace=True)
    )
    pictures = torch.randn(4, MIN_CHANNELS, 3, 3)
    layers(pictures).square().sum().backward()
    ordinary = [parameter.grad.clone() for parameter in layers.parameters()]
    layers.zero_grad()
    with fast_small_maps(layers):
        layers(pictures).square().sum().backward()
    for parameter, expected in zip(layers.parameters(), ordinary, strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def deep_conv(**options):
    return nn.Conv2d(MIN_CHANNELS, MIN_CHANNELS, **{"kernel_size": 3, "padding": 1, **options})


class Doubled(nn.Conv2d):
    """A layer that does something of its own to its weight, as weight standardisation does."""

    def forward(self, images):
        return F.conv2d(images, 2 * self.weight, self.bias, padding=1)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (deep_conv(), True),
        (deep_conv(stride=2, padding=0, bias=False), True),
        (deep_conv(kernel_size=1, padding=0), True),
        (deep_conv(kernel_size=1), False),
        (deep_conv(kernel_size=5), False),
        (deep_conv(groups=2), False),
        (deep_conv(dilation=2), False),
        (deep_conv(padding=2), False),
        (deep_conv(padding="same"), False),
        (deep_conv(stride=(1, 2)), False),
        (deep_conv(padding_mode="reflect"), False),
        (nn.Conv2d(MIN_CHANNELS, MIN_CHANNELS - 1, 3, padding=1), False),
        (Doubled(MIN_CHANNELS, MIN_CHANNELS, 3, padding=1), False),
        (nn.Linear(4, 4), False),
    ],
)
def test_which_layers(module, expected):
    """Plain 1 x 1 and 3 x 3 convolutions with enough channels, and nothing that computes something else."""
    assert fits(module) is expected


@pytest.fixture
def net():
    """ResNet-18 for 32 px: its last stages work on 2 x 2 and 1 x 1 maps."""
    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=4)


PICTURES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_a_network_computes_the_same(net):
    """Logits and gradients of a whole network agree, and the fast way was really taken."""
    net.double().eval()
    pictures = PICTURES.double()
    plain = net(pictures)
    expected = torch.autograd.grad(plain.square().sum(), list(net.parameters()))
    calls, original = [], nn.Conv2d._conv_forward

    def watch(conv, images, weight, bias):
        calls.append(images.shape[-1])
        return original(conv, images, weight, bias)

    nn.Conv2d._conv_forward = watch
    try:
        with fast_small_maps(net):
            fast = net(pictures)
            found = torch.autograd.grad(fast.square().sum(), list(net.parameters()))
        deep = len([c for c in net.modules() if fits(c)])
    finally:
        nn.Conv2d._conv_forward = original
    torch.testing.assert_close(fast, plain, rtol=1e-9, atol=1e-10)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-9)
    # 20 convolutions; all of stages 2 to 4, three 1 x 1 among them, give maps of 4 x 4 and less.
    assert deep == 15 and len(calls) == 20 - 15


def test_a_layer_of_its_own_keeps_its_forward():
    """A subclass that changes its weight first is left alone."""
    layer, images = Doubled(MIN_CHANNELS, MIN_CHANNELS, 3, padding=1), torch.randn(1, MIN_CHANNELS, 2, 2)
    expected = layer(images)
    with fast_small_maps(nn.Sequential(layer)):
        assert torch.equal(layer(images), expected)


def test_large_maps_take_the_ordinary_way():
    """One position more than the limit and the library's convolution is used, to the bit."""
    conv, images = deep_conv(), torch.randn(1, MIN_CHANNELS, 1, MAX_POSITIONS + 1)
    expected = conv(images)
    with fast_small_maps(nn.Sequential(conv)):
        assert torch.equal(conv(images), expected)


def test_under_autocast_it_gives_bfloat16():
    """As the convolution would."""
    conv = deep_conv()
    with fast_small_maps(nn.Sequential(conv)), torch.autocast("cpu", dtype=torch.bfloat16):
        out = conv(torch.randn(1, MIN_CHANNELS, 2, 2))
    assert out.dtype == torch.bfloat16 and conv.weight.dtype == torch.float32


def test_under_autocast_gradients_are_those_of_the_product_in_bfloat16():
    """Within bfloat16's rounding (8 bits) of float32's, and in the weight's own type and layout."""
    torch.manual_seed(0)
    conv = deep_conv().to(memory_format=torch.channels_last)
    images = torch.randn(8, MIN_CHANNELS, 2, 2)
    conv(images).square().sum().backward()
    exact, conv.weight.grad = conv.weight.grad, None
    with fast_small_maps(nn.Sequential(conv)):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = conv(images)
        out.float().square().sum().backward()
    assert conv.weight.grad.dtype == torch.float32 and conv.weight.grad.stride() == conv.weight.stride()
    assert (conv.weight.grad - exact).norm() < 0.01 * exact.norm()


def test_measuring_first_does_not_disturb_training():
    """What was kept while no gradient was wanted serves where one is."""
    conv, images = deep_conv(), torch.randn(1, MIN_CHANNELS, 3, 4)
    with fast_small_maps(nn.Sequential(conv)):
        with torch.inference_mode():
            conv(images)
        conv(images).sum().backward()
    assert conv.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("breaks", [True, False])
def test_nothing_stays(net, breaks):
    """State, forward and instance attributes are as before, also when the block raised."""
    keys, attributes = list(net.state_dict()), [set(vars(module)) for module in net.modules()]
    try:
        with fast_small_maps(net):
            assert list(net.state_dict()) == keys
            assert any("forward" in vars(module) for module in net.modules())
            if breaks:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert list(net.state_dict()) == keys
    assert [set(vars(module)) for module in net.modules()] == attributes
    assert all(conv.forward.__func__ is nn.Conv2d.forward for conv in net.modules() if isinstance(conv, nn.Conv2d))
    twin = copy.deepcopy(net.eval())
    twin.layer4[0].conv1.weight.data.zero_()
    assert not torch.equal(twin(PICTURES), net(PICTURES))  # the copy uses its own weights


@pytest.mark.slow
def test_the_export_knows_nothing_of_it(net, tmp_path):
    """After the block the ONNX file has as many convolutions as the network, and agrees with it."""
    import onnx

    with fast_small_maps(net):
        net.train()(PICTURES)
    export_float(net, (3, 32, 32), tmp_path / "net.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "net.onnx").graph.node]
    assert kinds.count("Conv") == 20
    found = torch.from_numpy(OnnxModel(tmp_path / "net.onnx", threads=1)(PICTURES.numpy()))
    with torch.no_grad():
        torch.testing.assert_close(found, net.eval()(PICTURES), rtol=1e-4, atol=1e-4)
