"""Boxes, nodes and edges of networks whose structure is known."""

import pytest
import timm
import torch
import torchvision

from strop.measure.graph import INPUT, Box, boxes
from strop.measure.layers import blocks, fold, layers_of, outermost
from strop.measure.recording import record


def boxes_of(name: str) -> dict[str, Box]:
    with torch.device("meta"):
        make = timm.create_model if name.startswith("timm:") else torchvision.models.get_model
        net = make(name.removeprefix("timm:"))
    recording, names = record(net, (3, 224, 224)), blocks(net)
    rows = fold(layers_of(net, recording), recording, net, names)
    stages = {row.name: row.name.rpartition(".")[2] for row in rows}
    found = boxes(recording, rows, lambda path: outermost(path, set(names)), stages)
    assert sum(box.parameters for box in found) == sum(p.numel() for p in net.parameters())
    return {box.name: box for box in found}


def labels(box: Box) -> list[str]:
    return [node.label for node in box.nodes]


def test_resnet18():
    """Two convolutions and a shortcut; a 1x1 convolution on it where the shape changes; norms are no boxes."""
    found = boxes_of("resnet18")
    assert list(found) == [
        "conv1", "maxpool", "layer1.0", "layer2.0", "layer2.1", "layer3.0", "layer3.1", "layer4.0", "layer4.1",
        "avgpool", "fc",
    ]  # fmt: skip
    plain, strided = found["layer1.0"], found["layer2.0"]
    assert plain.count == 2 and plain.parameters == 2 * 73_984
    assert labels(plain) == ["3x3", "3x3", "+"] and plain.edges == [(INPUT, 0), (INPUT, 2), (0, 1), (1, 2)]
    assert labels(strided) == ["3x3 /2", "3x3", "1x1 /2", "+"]
    assert strided.edges == [(INPUT, 0), (INPUT, 2), (0, 1), (1, 3), (2, 3)]
    assert found["conv1"].parameters == 9_408 + 128, "its batch norm is counted with it"


def test_fire_modules_fork_and_join():
    fire = boxes_of("squeezenet1_1")["features.3"]
    assert labels(fire) == ["1x1", "1x1", "3x3", "cat"]
    assert fire.edges == [(INPUT, 0), (0, 1), (0, 2), (1, 3), (2, 3)]


@pytest.mark.parametrize("name", ["vit_b_32", "timm:vit_tiny_patch16_224", "timm:swin_tiny_patch4_window7_224"])
def test_transformers(name):
    """Attention is one node however it is computed; twelve equal blocks are one box; a bias table is no branch."""
    block = max(boxes_of(name).values(), key=lambda box: box.count)
    assert block.count == (6 if "swin" in name else 12) and block.last_stage != block.stage
    assert labels(block) == ["linear", "attention", "linear", "+", "linear", "linear", "+"]
    assert block.edges == [(INPUT, 0), (INPUT, 3), (0, 1), (1, 2), (2, 3), (3, 4), (3, 6), (4, 5), (5, 6)]


def test_shufflenet_splits_and_squeeze_excitation_gates():
    """Half of the channels go around the block; a gate multiplies what it was computed from."""
    unit = boxes_of("shufflenet_v2_x1_0")["stage3.1"]
    assert unit.count == 7 and labels(unit) == ["1x1", "dw 3x3", "1x1", "cat"] and (INPUT, 3) in unit.edges
    gated = boxes_of("mobilenet_v3_large")["features.4"]
    assert labels(gated) == ["1x1", "dw 5x5 /2", "global average", "1x1", "1x1", "x", "1x1"]
    assert (1, 5) in gated.edges and (4, 5) in gated.edges


def test_dense_connections_are_seen_between_boxes():
    """Layer n of a dense block reads the block's input and the n - 1 layers before it."""
    found = boxes_of("densenet121")
    for number in (2, 3, 6):
        assert len(found[f"features.denseblock1.denselayer{number}"].reads) == number
