"""New weights at other widths: drawn with the spread that the builder would have given them."""

import math

import pytest
import torch
from torch import nn

from strop.models import build
from strop.models.fresh import fresh_tensors


def narrow(net, keep=4):
    """The state dict of a network whose every width but the first inputs and the last outputs is a quarter."""
    shapes = {}
    for name, tensor in net.state_dict().items():
        size = [n if n in (3, 10) or n < 16 else n // keep for n in tensor.shape]
        shapes[name] = torch.empty(size)
    return shapes


@pytest.mark.parametrize(
    ("name", "spread"),
    [
        # torchvision's ResNet: He normal by fan out; our cnn3: torch's own, uniform within 1 / sqrt(fan in).
        ("tv:resnet18", lambda w: math.sqrt(2 / (w.shape[0] * w[0, 0].numel()))),
        ("cnn3", lambda w: math.sqrt(1 / (3 * w.shape[1] * w[0, 0].numel()))),
    ],
)
def test_the_spread_is_that_of_the_new_widths(name, spread):
    """Each convolution of more than 500 weights, within 15 % (four standard errors of a spread of 500 are 13 %)."""
    torch.manual_seed(0)
    net = build(name, num_classes=10, input_size=64)
    shapes = narrow(net)
    found = fresh_tensors(shapes, net)
    assert all(found[key].shape == tensor.shape for key, tensor in shapes.items()) and found.keys() == shapes.keys()
    convolutions = [tensor for tensor in found.values() if tensor.ndim == 4 and tensor.numel() > 500]
    assert len(convolutions) >= 2
    for weight in convolutions:
        assert weight.std().item() == pytest.approx(spread(weight), rel=0.15)


def test_what_is_not_narrower_stays_as_it_was_drawn():
    """Equal shapes give the builder's own tensors to the bit, scales of batch norms are 1 and shifts 0."""
    torch.manual_seed(0)
    net = build("cnn3", num_classes=10, input_size=64)
    same = fresh_tensors(net.state_dict(), net)
    assert all(torch.equal(tensor, same[key]) for key, tensor in net.state_dict().items())
    cut = fresh_tensors(narrow(net), net)
    norms = [name for name, module in net.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert all((cut[f"{name}.weight"] == 1).all() and (cut[f"{name}.bias"] == 0).all() for name in norms)


def test_a_fixed_spread_is_kept():
    """trunc_normal_(0.02) of a transformer scales with no fan."""
    torch.manual_seed(0)
    net = nn.Linear(400, 300)
    nn.init.trunc_normal_(net.weight, std=0.02)
    cut = fresh_tensors({"weight": torch.empty(100, 90), "bias": torch.empty(100)}, net)
    assert torch.equal(cut["weight"], net.weight[:100, :90])
