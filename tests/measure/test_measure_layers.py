"""The layer table against arithmetic by hand, and its totals against the whole network."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from strop.measure.complexity import complexity
from strop.measure.layers import at_depth, blocks, fold, kept_for_backward, layers_of, memory
from strop.measure.recording import record


def on_meta(name: str, **options) -> nn.Module:
    with torch.device("meta"):
        if name.startswith("timm:"):
            return timm.create_model(name.removeprefix("timm:"), **options)
        return torchvision.models.get_model(name, weights=None, **options)


def test_memory_access_of_a_1x1_convolution():
    """HW * (c_in + c_out) + c_in * c_out elements of 4 bytes: ShuffleNetV2, section 2, guideline 1."""
    (layer,) = layers_of(net := nn.Sequential(nn.Conv2d(24, 40, 1, bias=False)), record(net, (24, 7, 5)))
    assert layer.memory_access_bytes == 4 * (7 * 5 * (24 + 40) + 24 * 40)
    assert (layer.macs, layer.parameters, layer.output) == (7 * 5 * 24 * 40, 960, (40, 7, 5))


def test_rows_by_hand():
    """Convolution, batch norm, ReLU in place, linear: elements read, written, and made anew."""
    net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Flatten())
    net.append(nn.Linear(8 * 4 * 4, 5))
    rows = {layer.name: layer for layer in layers_of(net, record(net, (3, 9, 9)))}
    maps = 8 * 4 * 4
    assert list(rows) == ["0", "1", "2", "4"], "flattening moves nothing"
    assert rows["0"].memory_access_bytes == 4 * (3 * 81 + maps + 8 * 27 + 8)
    assert rows["1"].memory_access_bytes == 4 * (2 * maps + 4 * 8), "weight, bias, mean and variance"
    assert rows["2"].memory_access_bytes == 4 * 2 * maps
    assert rows["4"].memory_access_bytes == 4 * (maps + 5 + 5 * maps + 5)
    assert [rows[name].activation_bytes for name in rows] == [4 * maps, 4 * maps, 0, 4 * 5]


def test_additions_between_modules_belong_to_their_block():
    """A shortcut is no module; reading two maps and writing one is the block's own row."""
    net = torchvision.models.resnet18(num_classes=10)
    rows = {layer.name: layer for layer in layers_of(net, record(net, (3, 64, 64)))}
    assert rows["layer1.0"].kind == "BasicBlock"
    assert rows["layer1.0"].memory_access_bytes == 4 * 3 * 64 * 16 * 16 and rows["layer1.0"].macs == 0
    assert rows["layer1.0.relu"].memory_access_bytes == 2 * (4 * 2 * 64 * 16 * 16), "one module, called twice"


@pytest.mark.parametrize("name", ["resnet18", "vit_b_32", "swin_t", "mobilenet_v3_large", "timm:convnext_tiny"])
def test_totals_are_those_of_the_network(name):
    """Whatever is folded: parameters of p.numel(), MACs of the other counter, attention and all."""
    net = on_meta(name)
    expected = complexity(net, (3, 224, 224))
    recording = record(net, (3, 224, 224))
    leaves = layers_of(net, recording)
    bytes_moved = sum(op.memory_access for op in recording.operations)
    for rows in (leaves, fold(leaves, recording, net, blocks(net)), fold(leaves, recording, net, at_depth(net, 1))):
        assert sum(row.parameters for row in rows) == expected["parameters"]
        assert sum(row.macs for row in rows) == expected["macs"]
        assert sum(row.memory_access_bytes for row in rows) == bytes_moved


@pytest.mark.parametrize(
    ("name", "count", "example"),
    [
        ("resnet50", 16, "layer3.5"),  # 3 + 4 + 6 + 3 bottlenecks
        ("squeezenet1_1", 8, "features.12"),  # fire2 to fire9
        ("shufflenet_v2_x1_0", 16, "stage4.3"),  # 4 + 8 + 4
        ("mobilenet_v3_large", 15, "features.15"),
        ("vit_b_32", 12, "encoder.layers.encoder_layer_11"),
        ("timm:vit_small_patch16_224", 12, "blocks.11"),
        ("timm:convnext_tiny", 18, "stages.2.blocks.8"),  # 3 + 3 + 9 + 3
    ],
)
def test_blocks_are_those_of_the_papers(name, count, example):
    """Folded by default: the blocks that each paper's table counts, and no more than 24 rows here."""
    net = on_meta(name)
    found = blocks(net)
    kinds = [type(net.get_submodule(path)).__name__ for path in found]
    assert example in found and max(map(kinds.count, kinds)) == count and len(found) <= 27


def test_peak_is_what_is_alive_at_a_time():
    """The picture, which the caller holds, with a layer's input and output; a shortcut keeps the map that it adds."""
    plain = nn.Sequential(nn.Conv2d(3, 16, 1, bias=False), nn.Conv2d(16, 4, 1, bias=False))
    assert record(plain, (3, 8, 8)).peak == 4 * 64 * (3 + 16 + 4)

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)

        def forward(self, x):
            return x + self.b(self.a(x))

    assert record(Residual(), (8, 8, 8)).peak == 3 * 4 * 64 * 8


def test_kept_for_backward_by_hand():
    """A convolution keeps its input, a ReLU its output; the same tensor counts once."""
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    assert kept_for_backward(net, (3, 4, 4)) == 4 * 16 * (3 + 8)


def test_memory_grows_with_the_batch_and_the_optimizer():
    """inference = weights + batch * alive; training = weights * (2 + states) + batch * kept."""
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    found = memory(net, record(net, (3, 4, 4)), (3, 4, 4), 5, states=2)
    weights = 4 * (3 * 8 + 8 + 8 * 2 + 2)
    assert found["weights_bytes"] == weights
    assert found["inference_bytes"] == weights + 5 * record(net, (3, 4, 4)).peak
    assert found["training_bytes"] == 4 * weights + 5 * 4 * 16 * (3 + 8)


def test_the_model_is_left_as_it_was():
    """No hooks, no mode, no global switch of attention stays changed."""
    net = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).train()
    before = torch.backends.mha.get_fastpath_enabled()
    record(nn.Sequential(nn.Flatten(2), net), (5, 2, 4))
    assert net.training and torch.backends.mha.get_fastpath_enabled() == before
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert not any(parameter.is_meta for parameter in net.parameters())
