"""Other counters' figures, reproduced: published ones, and those of thop itself."""

import copy

import pytest
import torch
from torch import nn

from strop.errors import UserError
from strop.measure.conventions import footprint, thop_macs, total_size
from strop.measure.recording import record
from strop.models import build


def blank(name: str, classes: int, pixels: int):
    with torch.device("meta"):
        return build(name, num_classes=classes, input_size=pixels)


@pytest.mark.parametrize(
    ("name", "pixels", "macs", "published"),
    [
        # The write-up [000] prints 0.149, 1.824 and 4.132 G; the units are what thop 0.1.1 gives for them.
        ("resnet18", 64, 148_864_512, 0.149),
        ("resnet18", 224, 1_823_526_912, 1.824),
        ("resnet50", 224, 4_131_715_072, 4.132),
        # [000] prints 0.216 for MobileNetV3 at 64: a misplaced decimal, thop says 0.0216.
        ("mobilenet_v3_large", 64, 21_596_056, 0.0216),
    ],
)
def test_published_thop_figures(name, pixels, macs, published):
    net = blank(name, 10, pixels)
    counted = sum(thop_macs(net, record(net, (3, pixels, pixels))).values())
    assert counted == macs and round(counted / 1e9, 4 if published < 0.1 else 3) == published


def every_rule() -> nn.Module:
    """Each kind of layer that thop has a rule for, and attention, whose products it misses."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, groups=1, bias=True), nn.BatchNorm2d(8, affine=False), nn.PReLU(), nn.AvgPool2d(2),
        nn.Conv2d(8, 8, 3, groups=4, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(2),
        nn.TransformerEncoderLayer(9, 3, 16, batch_first=True), nn.LayerNorm(9), nn.Flatten(), nn.Linear(72, 4),
        nn.Softmax(1),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["every rule", "resnet18", "densenet121", "cnn3"])
def test_thop_itself_agrees(name):
    """To the unit."""
    thop = pytest.importorskip("thop", exc_type=ImportError, reason="thop needs distutils, which Python 3.12 lacks")
    net = every_rule().eval() if name == "every rule" else build(name, num_classes=10, input_size=32).eval()
    theirs, _ = thop.profile(copy.deepcopy(net), (torch.zeros(1, 3, 32, 32),), verbose=False)
    assert sum(thop_macs(net, record(net, (3, 32, 32))).values()) == int(theirs)


@pytest.mark.parametrize(
    ("convention", "name", "classes", "pixels", "batch", "total"),
    [
        # "Total Size" as the write-up [002] prints it, in three conventions.
        ("torchsummary", "cnn2", 100, 32, 64, 40.63),
        ("torchsummary", "cnn3", 100, 32, 64, 46.94),
        ("torchsummary", "cnn5", 100, 32, 64, 55.43),
        ("torchsummary", "vgg19", 100, 224, 1, 773.24),
        ("torchsummary", "resnet101", 100, 224, 1, 593.20),
        ("torchinfo", "vit_b_32", 100, 224, 1, 263.59),
        ("torchinfo", "swin_b", 100, 224, 1, 425.33),
        # And [004].
        ("torchsummary", "squeezenet1_1", 10, 224, 1, 54.55),
        ("torchsummary", "shufflenet_v2_x1_0", 10, 224, 1, 53.32),
    ],
)
def test_published_total_sizes(convention, name, classes, pixels, batch, total):
    """To the cent."""
    net, size = blank(name, classes, pixels), (3, pixels, pixels)
    assert round(total_size(convention, net, record(net, size), size, batch)["total"], 2) == total


def test_parts_of_a_torchsummary():
    """[004]: SqueezeNet's footer reads 0.57 + 51.20 + 2.78 MB."""
    net, size = blank("squeezenet1_1", 10, 224), (3, 224, 224)
    parts = total_size("torchsummary", net, record(net, size), size, 1)
    assert [round(parts[name], 2) for name in ("input", "forward_backward", "parameters")] == [0.57, 51.20, 2.78]


def test_no_figure_where_the_tool_has_none():
    """torchsummary stops with an error at nn.MultiheadAttention."""
    net, size = blank("vit_b_32", 10, 224), (3, 224, 224)
    with pytest.raises(UserError, match="Write torchinfo"):
        total_size("torchsummary", net, record(net, size), size, 1)


@pytest.mark.parametrize(("name", "pixels", "batch", "total"), [("cnn2", 32, 64, 40.63), ("resnet101", 224, 1, 593.20)])
def test_the_parts_that_runs_keep_give_the_published_total(name, pixels, batch, total):
    """[002]: B * (input + forward and backward) + parameters, in MiB, to the cent."""
    parts = footprint(blank(name, 100, pixels), (3, pixels, pixels))
    whole = batch * (parts["input_bytes"] + parts["forward_backward_bytes"]) + parts["parameter_bytes"]
    assert round(whole / 2**20, 2) == total


def test_the_parts_exist_where_torchsummary_fails():
    """nn.MultiheadAttention: its output counts like any other."""
    parts = footprint(every_rule(), (3, 32, 32))
    assert parts["parameter_bytes"] == 4 * sum(p.numel() for p in every_rule().parameters())
