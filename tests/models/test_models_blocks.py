"""Residual blocks that go as a whole: which can, and that what is left computes what it did."""

import copy

import pytest
import torch
from torch import nn

from strop import artifact
from strop.models import build
from strop.models.blocks import influences, removable_blocks, remove_blocks, without
from strop.models.classifier import Classifier, Preprocess

CLASSES = tuple("abcdefghij")


def make(name, size=64, **options):
    """A network as after some training: no scale is 1, no running mean 0."""
    torch.manual_seed(0)
    options = {"num_classes": 10, "in_chans": 3, "input_size": size, **options}
    net = build(name, **options).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return net, {"name": name, "options": options}


def pictures(size=64):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "size", "count", "first"),
    [
        ("tv:resnet18", 64, 5, "layer1.0"),  # 8 basic blocks, 3 of which halve; the stem's width is that of layer1
        ("tv:resnet50", 64, 12, "layer1.1"),  # 16 bottlenecks, 4 of which change the width
        ("resnet20", 32, 7, "layer1.0"),  # 9 blocks, 2 of which halve (option A has no parameters there)
        ("plain20", 32, 0, None),  # the same layers without shortcuts
        ("tv:mobilenet_v2", 64, 10, "features.3"),  # table 2 of the paper: n - 1 of each row
        ("shufflenet_v2", 64, 0, None),  # half of the channels pass, but they are shuffled
        ("timm:test_vit", 160, 6, "blocks.0"),
        ("timm:test_convnext", 64, 9, "stages.0"),  # of 1, 2, 4 and 2 blocks; the first stage is one
    ],
)
@torch.no_grad()
def test_which_blocks_can_go(name, size, count, first):
    """Whatever the family calls them; without the last one the network gives what it gave with it passed over."""
    net, _ = make(name, size)
    before = copy.deepcopy(net.state_dict())
    names = removable_blocks(net, pictures(size))
    assert (len(names), next(iter(names), None)) == (count, first)
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())
    for block in names[-1:]:
        with without(net, block):
            expected = net(pictures(size))
        whole = net(pictures(size))
        remove_blocks(net, [block])
        assert torch.equal(net(pictures(size)), expected) and not torch.equal(expected, whole)
        assert all(name.startswith(f"{block}.") for name in before.keys() - net.state_dict().keys())


def test_a_stage_keeps_a_block():
    """Of the two blocks of ResNet-18's first stage one can go, and then none."""
    net, _ = make("tv:resnet18")
    remove_blocks(net, ["layer1.1"])
    assert "layer1.0" not in removable_blocks(net, pictures())
    for name in ("layer1.0", "layer1.7", "fc", "conv1", ""):
        with pytest.raises(ValueError, match="no block that can be removed"):
            remove_blocks(net, [name])


def test_widths_that_are_fixed_are_those_that_are_left():
    """resnet20 names layers whose width must stay; the names of a removed block go with it."""
    net, _ = make("resnet20", 32)
    remove_blocks(net, ["layer2.1"])
    assert "layer2.2.conv2" in net.fixed_widths and "layer2.1.conv2" not in net.fixed_widths


@torch.no_grad()
def test_influence_by_hand():
    """1 - cos of what flows in and out of a block; a block that only passes on has none."""
    net, _ = make("tv:resnet18")
    seen = {}
    net.layer2[1].register_forward_hook(lambda _, given, output: seen.update(given=given[0], output=output))
    with influences(net, ["layer2.1", "layer4.1"]) as noted:
        net(pictures())
    a, b = seen["given"].flatten(1).double(), seen["output"].flatten(1).double()
    expected = 1 - (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    assert noted["layer2.1"] == pytest.approx(expected.tolist(), abs=1e-6) and len(noted["layer4.1"]) == 2
    for parameter in net.layer4[1].parameters():
        parameter.zero_()
    with influences(net, ["layer4.1"]) as noted:
        net(pictures())
    assert noted["layer4.1"] == pytest.approx([0, 0], abs=1e-6)
    assert not net.layer4[1]._forward_hooks


@pytest.mark.parametrize(
    ("name", "size", "blocks"), [("resnet20", 32, ["layer3.2", "layer1.0"]), ("tv:resnet18", 64, ["layer3.1"])]
)
@torch.no_grad()
def test_without_blocks_it_is_saved_and_loaded(tmp_path, name, size, blocks):
    """The builder says which blocks are gone: loaded without them, equal to the bit."""
    net, builder = make(name, size)
    remove_blocks(net, blocks)
    model = Classifier(net, Preprocess(size, 3, (0.4,) * 3, (0.25,) * 3), CLASSES)
    artifact.save(tmp_path, model, builder | {"without": blocks})
    loaded = artifact.load(tmp_path)
    images = torch.randint(0, 256, (3, 3, size, size), dtype=torch.uint8)
    assert (loaded(images) - model(images)).abs().max().item() == 0.0
    assert sum(p.numel() for p in loaded.net.parameters()) == sum(p.numel() for p in net.parameters())
