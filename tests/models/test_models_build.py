"""Networks by name: their sizes, their first and last layers, and options that are wrong."""

import pytest
import torch
import torchvision
from torch import nn

from strop.errors import UserError
from strop.models import build, default_input_size, models


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("name", "parameters"), [("cnn2", 219_044), ("cnn3", 168_036), ("cnn5", 1_116_388)])
def test_cnn_family_has_the_published_sizes(name, parameters):
    """At 100 classes and 3x32x32 pictures."""
    assert count(build(name, num_classes=100)) == parameters


@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_small_resnets_differ_from_torchvision_in_the_stem_only(name):
    """A 3x3 stem has 64 * 3 * (49 - 9) parameters less; the 18-layer one is published as 11,173,962."""
    small, usual = build(f"{name}_small", num_classes=10), build(f"tv:{name}", num_classes=10)
    assert count(usual) - count(small) == 64 * 3 * (49 - 9)
    assert name != "resnet18" or count(small) == 11_173_962
    assert small.conv1(torch.zeros(1, 3, 32, 32)).shape == (1, 64, 32, 32)


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("in_chans", [1, 3])
def test_every_own_model_takes_grey_and_colour_at_its_size(name, in_chans):
    """(B, C, H, W) in, (B, K) out."""
    size = default_input_size(name)
    model = build(name, num_classes=7, in_chans=in_chans).eval()
    assert model(torch.zeros(2, in_chans, size, size)).shape == (2, 7)


def test_cnn_input_size_changes_the_head_only():
    """The linear layer reads 28 >> 2 = 7 times 7 positions."""
    model = build("cnn2", num_classes=5, in_chans=1, input_size=28)
    assert model.fc.in_features == 32 * 7 * 7
    assert model(torch.zeros(1, 1, 28, 28)).shape == (1, 5)


def test_pictures_too_small_for_a_cnn_are_refused():
    """Five poolings need 32 pixels."""
    with pytest.raises(UserError, match="16 is too small for 5 poolings. Write 32 or more"):
        build("cnn5", num_classes=10, input_size=16)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1", "densenet121", "swin_t"])
@pytest.mark.parametrize("in_chans", [1, 4])
def test_torchvision_models_get_another_first_convolution(name, in_chans):
    """Only its input channels differ; it is not empty and its spread is He's for the fan out."""
    usual, other = build(f"tv:{name}", num_classes=10), build(f"tv:{name}", num_classes=10, in_chans=in_chans)
    first, was = (next(m for m in model.modules() if isinstance(m, nn.Conv2d)) for model in (other, usual))
    assert (first.stride, first.padding, first.kernel_size) == (was.stride, was.padding, was.kernel_size)
    assert count(other) - count(usual) == (in_chans - 3) * was.weight[:, :1].numel()
    fan_out = first.out_channels * first.kernel_size[0] * first.kernel_size[1]
    assert first.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.15)
    assert other.eval()(torch.zeros(2, in_chans, 64, 64)).shape == (2, 10)


def test_the_seed_decides_every_weight():
    """Also those of a replaced first convolution."""
    torch.manual_seed(3)
    first = build("resnet18", num_classes=4, in_chans=1)
    torch.manual_seed(3)
    second = build("resnet18", num_classes=4, in_chans=1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_timm_models_are_built_for_channels_classes_and_size():
    """A transformer is told the input size; a convolutional network needs none."""
    vit = build("timm:test_vit", num_classes=6, in_chans=1, input_size=96)
    assert vit.eval()(torch.zeros(2, 1, 96, 96)).shape == (2, 6)
    convnet = build("timm:test_resnet", num_classes=6, in_chans=1, input_size=48)
    assert convnet.eval()(torch.zeros(2, 1, 48, 48)).shape == (2, 6)


def test_torchvision_transformers_are_built_for_the_size():
    """64 / 32 = 2, so 2 x 2 patches and the class token."""
    with torch.device("meta"):
        model = build("vit_b_32", num_classes=10, input_size=64)
    assert model.encoder.pos_embedding.shape[1] == 5


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_models_with_extra_heads_give_plain_logits(name):
    """In training mode too, where torchvision would give a tuple."""
    with torch.device("meta"):
        model = build(name, num_classes=10).train()
        assert model(torch.zeros(2, 3, 299, 299)).shape == (2, 10)


def test_options_reach_the_builder():
    """dropout is an option of torchvision's mobilenet, drop_rate of timm's networks."""
    assert build("mobilenet_v3_small", num_classes=3, dropout=0.7).classifier[2].p == 0.7
    assert build("timm:test_resnet", num_classes=3, drop_rate=0.3).drop_rate == 0.3


@pytest.mark.parametrize("name", ["cnn2", "resnet18", "timm:test_resnet"])
def test_an_unknown_option_is_shown(name):
    """Whichever library it was meant for."""
    with pytest.raises(UserError, match="widht"):
        build(name, num_classes=3, widht=2)


def test_the_head_is_a_fresh_layer_of_the_right_width():
    """squeezenet's head is a convolution."""
    model = build("squeezenet1_1", num_classes=10)
    assert count(model) == 727_626 == count(torchvision.models.squeezenet1_1(num_classes=10))
