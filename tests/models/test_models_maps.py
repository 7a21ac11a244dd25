"""The maps at the ends of stages: where they are, and how they lie."""

import pytest
import torch

from strop.models import build
from strop.models.maps import as_map, stage_ends, watched
from strop.models.stages import count_stages


def ends(name, size=32):
    net = build(name, num_classes=10, input_size=size)
    return net, stage_ends(net, 10, torch.zeros(2, 3, size, size))


def test_the_stages_of_a_resnet():
    """Table 1 of He et al. 2016 (arXiv:1512.03385): 64, 128, 256, 512 channels at strides 4, 8, 16, 32."""
    _, found = ends("resnet18", 64)
    layers = [tuple(found[f"layer{n}"]) for n in (1, 2, 3, 4)]
    assert layers == [(f"layer{n}", 32 * 2**n, 32 // 2**n, 32 // 2**n) for n in (1, 2, 3, 4)]
    assert [*found] == ["stem", "layer1", "layer2", "layer3", "layer4"] and found["stem"].channels == 64


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("squeezenet1_1", (512, 1, 1)),
        ("mobilenet_v3_small", (1024, 1, 1)),
        ("timm:vit_tiny_patch16_224", (192, 2, 2)),  # 32 px in patches of 16, class token left out
        ("timm:swin_tiny_patch4_window7_224", (768, 1, 1)),  # rows before channels
        ("cnn3", (64, 4, 4)),
    ],
)
def test_all_families_have_maps(name, last):
    """Every stage but the head has one; the last one's shape follows from the architecture."""
    net, found = ends(name)
    assert [*found] == [stage for stage in count_stages(net, 10) if stage != "head"]
    assert tuple([*found.values()][-1][1:]) == last


def test_looking_changes_nothing():
    """Neither mode nor statistics nor hooks; watched sees what the stage gives, and lets go afterwards."""
    net = build("cnn3", num_classes=4, input_size=16).train()
    net.features[0].eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    found = stage_ends(net, 4, torch.randn(3, 3, 16, 16))
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    net.eval()
    pictures = torch.randn(2, 3, 16, 16)
    with watched(net, [found["layer2"].path]) as seen:
        net(pictures)
    assert torch.equal(seen[found["layer2"].path], net.features[:2](pictures))
    assert not any(module._forward_hooks for module in net.modules())


def test_layouts():
    """Vectors, tokens with and without a class token, channels first and last."""
    tokens = torch.arange(2 * 5 * 3.0).view(2, 5, 3)
    assert as_map(torch.zeros(2, 7)).shape == (2, 7, 1, 1)
    assert torch.equal(as_map(tokens)[0, :, 0, 0], tokens[0, 1]) and torch.equal(
        as_map(tokens)[0, :, 1, 1], tokens[0, 4]
    )
    assert torch.equal(as_map(tokens[:, 1:]), as_map(tokens))
    assert as_map(torch.zeros(2, 4, 4, 9)).shape == (2, 9, 4, 4) and as_map(torch.zeros(2, 9, 4, 4)).shape == (
        2,
        9,
        4,
        4,
    )
