"""Receptive fields by hand and from the literature."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from strop.measure.layers import layers_of
from strop.measure.recording import record
from strop.models import build


def fields(net: nn.Module, size: tuple[int, int, int]) -> dict:
    return {layer.name: layer.receptive_field for layer in layers_of(net, record(net, size))}


def test_a_small_net_by_hand():
    """r grows by (k - 1) * d * j, the jump j by the stride: 3, 3 + 1*1, 4 + 2*2, 8 + 2*2*2."""
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.Conv2d(2, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3, dilation=2)
    )
    assert fields(net, (1, 32, 32)) == {"0": [3, 3], "1": [4, 4], "2": [8, 8], "3": [8, 8], "4": [16, 16]}


def test_height_and_width_apart():
    """A 1x7 convolution sees 7 pixels across and 1 down."""
    net = nn.Sequential(nn.Conv2d(1, 2, (1, 7)), nn.Conv2d(2, 2, (3, 1), stride=(2, 1)), nn.AvgPool2d(2))
    assert fields(net, (1, 32, 32)) == {"0": [1, 7], "1": [3, 7], "2": [5, 8]}


@pytest.mark.parametrize(
    ("name", "pixels", "layer", "size"),
    [
        # Araujo et al., Distill 2019, table of receptive fields: vgg_16 212, inception_v3 1311.
        ("vgg16", 224, "features.30", 212),
        ("inception_v3", 299, "Mixed_7c", 1311),
        # By the recursion of the same article: 7, 11, then 8 for each of four 3x3 at jump 4 (43), 8 + 3 * 16 at
        # layer2 (99), 16 + 3 * 32 (211), 32 + 3 * 64: 435, as is usually given for ResNet-18.
        ("resnet18", 224, "layer4.1", 435),
        # The article has 483 for resnet_v1_50 with the stride in a stage's last block; here it is in the first:
        # 11 + 3 * 8 + (8 + 3 * 16) + (16 + 5 * 32) + (32 + 2 * 64).
        ("resnet50", 224, "layer4.2", 427),
    ],
)
def test_known_networks(name, pixels, layer, size):
    with torch.device("meta"):
        options = {"aux_logits": False, "init_weights": True} if name == "inception_v3" else {}
        net = torchvision.models.get_model(name, weights=None, **options)
    assert fields(net, (3, pixels, pixels))[layer] == [size, size]


def test_pooling_everything_sees_all_and_attention_has_no_size():
    """Behind global pooling, or a linear layer on a flattened map, the field is the picture."""
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    assert fields(net, (1, 8, 8)) == {"0": [3, 3], "1": "all", "3": "all"}
    flat = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2))
    assert fields(flat, (1, 8, 8))["2"] == "all"
    with torch.device("meta"):
        vit = torchvision.models.vit_b_32()
    seen = fields(vit, (3, 224, 224))
    assert seen["conv_proj"] == [32, 32] and seen["encoder.layers.encoder_layer_0.mlp.0"] is None


def test_a_gate_from_pooled_features_does_not_count():
    """Squeeze-and-excitation multiplies by what is the same everywhere; the literature leaves it out."""
    with torch.device("meta"):
        net = torchvision.models.mobilenet_v3_large()
    assert fields(net, (3, 224, 224))["features.16.0"] == [595, 595]


def test_layers_that_work_on_the_last_dimension_keep_the_field():
    """ConvNeXt turns its maps around for layer norm and linear layers; 7x7 depthwise at jump 4: 4 + 6 * 4."""
    with torch.device("meta"):
        net = torchvision.models.convnext_tiny()
    assert fields(net, (3, 224, 224))["features.1.0.block.5"] == [28, 28]


class Mixer(nn.Module):
    """A linear layer over the positions, added to its input: MLP-Mixer, arXiv:2105.01601, without its norms."""

    def __init__(self):
        super().__init__()
        self.embed, self.tokens, self.channels = nn.Conv2d(1, 4, 2, stride=2), nn.Linear(16, 16), nn.Linear(4, 4)

    def forward(self, x):
        x = self.embed(x).flatten(2)
        x = x + self.tokens(x)
        return self.channels(x.transpose(1, 2))


def test_mixing_positions_sees_all_with_its_shortcut():
    """What was mixed has one value a position, so it is no gate; channels are mixed without losing the place."""
    assert fields(Mixer(), (1, 8, 8)) == {"embed": [2, 2], "tokens": "all", "": "all", "channels": "all"}


def test_shortcuts_that_skip_positions():
    """ResNet-56 for CIFAR halves its maps by x[:, :, ::2, ::2]; 3 + 18 * 2 + (2 + 17 * 4) + (4 + 17 * 8) = 249."""
    net = build("resnet56", num_classes=10, input_size=32)
    last = [size for size in fields(net, (3, 32, 32)).values() if isinstance(size, list)][-1]
    assert last == [249, 249]


def test_no_size_where_positions_and_channels_are_reordered_together():
    """MobileViT cuts its maps into patches in a view that mixes both: left empty rather than guessed."""
    with torch.device("meta"):
        net = timm.create_model("mobilevit_xxs")
    seen = fields(net, (3, 256, 256))
    assert seen["stages.2.1.conv_1x1"] == [51, 51] and seen["stages.2.1.conv_proj.conv"] is None
