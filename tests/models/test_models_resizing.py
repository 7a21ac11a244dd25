"""Weights at another input size: what the libraries themselves would compute, and what must not change."""

import copy

import pytest
import timm
import torch
import torchvision

from strop.errors import UserError
from strop.models import build
from strop.models.pretrained import load_tensors
from strop.models.resizing import resize_positions

SMALL_SWIN = {"embed_dim": 16, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 2, 2)}


def pictures(side, n=2):
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
@pytest.mark.parametrize("name", ["test_vit", "test_vit2"])  # with a class token, and with registers
def test_timm_vit_computes_what_its_dynamic_form_does(name):
    """timm resamples while it runs if told so; ours is resampled once and gives the same logits."""
    torch.manual_seed(0)
    dynamic = timm.create_model(name, num_classes=5, img_size=64, dynamic_img_size=True).eval()
    fixed = build(f"timm:{name}", num_classes=5, input_size=96).eval()
    load_tensors(fixed, dynamic.state_dict(), 5, "here")
    assert fixed.pos_embed.shape != dynamic.pos_embed.shape
    torch.testing.assert_close(fixed(pictures(96)), dynamic(pictures(96)), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_timm_swin_computes_what_its_own_resizing_gives():
    """`set_input_size` of timm changes a network in place; the windows of the last stages grow with the picture."""
    torch.manual_seed(0)
    name = "swin_tiny_patch4_window7_224"
    small = timm.create_model(name, num_classes=5, img_size=64, **SMALL_SWIN).eval()
    for module in small.modules():
        if hasattr(module, "relative_position_bias_table"):
            module.relative_position_bias_table.normal_()
    tensors = copy.deepcopy(small.state_dict())
    small.set_input_size(img_size=128, window_size=(7, 7))
    large = build(f"timm:{name}", num_classes=5, input_size=128, **SMALL_SWIN).eval()
    changed = [n for n, tensor in large.state_dict().items() if tensor.shape != tensors[n].shape]
    assert any(n.endswith("relative_position_bias_table") for n in changed)
    load_tensors(large, tensors, 5, "here")
    torch.testing.assert_close(large(pictures(128)), small(pictures(128)), rtol=1e-4, atol=1e-4)


@pytest.fixture
def tv_vit():
    """Of torchvision's form, with two layers."""

    def make(side):
        torch.manual_seed(0)
        return torchvision.models.VisionTransformer(side, 16, 2, 2, 32, 64, num_classes=5)

    return make


def test_torchvision_vit_keeps_tokens_corners_and_constants(tv_vit):
    """Its interpolation maps corners on corners; the class token is no place in the picture."""
    tensors, large = tv_vit(64).state_dict(), tv_vit(112)
    place = "encoder.pos_embedding"
    torch.nn.init.normal_(tensors[place])
    got = resize_positions(tensors, large)[place]
    before, after = tensors[place][0, 1:].view(4, 4, 32), got[0, 1:].view(7, 7, 32)
    assert torch.equal(got[0, 0], tensors[place][0, 0])
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        torch.testing.assert_close(after[corner], before[corner])
    tensors[place][0, 1:] = 0.25
    torch.testing.assert_close(resize_positions(tensors, large)[place][0, 1:], torch.full((49, 32), 0.25))


def test_nothing_changes_at_the_same_size(tv_vit):
    """Not a bit of it."""
    for net in (tv_vit(64), build("timm:test_vit", num_classes=5, input_size=64), build("resnet18", num_classes=5)):
        tensors = net.state_dict()
        assert all(resized is tensors[name] for name, resized in resize_positions(tensors, net).items())


def test_what_cant_be_interpolated_is_listed():
    """LeViT's attention biases belong to places by number; nothing is copied then, and the file's names are said."""
    tensors = build("timm:levit_128s", num_classes=5, input_size=64).state_dict()
    net = build("timm:levit_128s", num_classes=5, input_size=96)
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(UserError) as caught:
        load_tensors(net, tensors, 5, "levit", advice="Stay at its size.")
    assert "attention_biases' is [" in str(caught.value) and "Stay at its size." in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
