"""Parameters and multiply-accumulates against numbers worked out by hand or published elsewhere."""

import pytest
import torch
import torchvision
from torch import nn

from strop.measure.complexity import complexity
from strop.measure.recording import record


def test_convolution_and_linear_by_hand():
    """Positions x outputs x inputs x kernel for a convolution, outputs x inputs for a linear layer; biases count 0."""
    convolution = nn.Conv2d(3, 8, 3, padding=1)
    model = nn.Sequential(convolution, nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 25, 4))
    counted = complexity(model, (3, 5, 5))
    assert counted["macs"] == 25 * 8 * 3 * 9 + 4 * 200
    assert counted["parameters"] == 8 * 27 + 8 + 16 + 4 * 200 + 4


def test_a_depthwise_convolution_reads_one_channel_each():
    """A grouped convolution costs 1/groups of a full one."""
    full, depthwise = nn.Conv2d(16, 16, 3), nn.Conv2d(16, 16, 3, groups=16)
    assert complexity(full, (16, 8, 8))["macs"] == 16 * complexity(depthwise, (16, 8, 8))["macs"]


def test_resnet18_at_64():
    """148,050,944 multiply-accumulates in convolutions and the head, 11,181,642 parameters at 10 classes."""
    counted = complexity(torchvision.models.resnet18(num_classes=10), (3, 64, 64))
    assert counted == {
        "parameters": 11_181_642,
        "macs": 148_050_944,
        "macs_convention": "conv, linear and attention multiply-accumulates, no bias",
    }


@pytest.mark.parametrize(
    ("name", "classes", "giga"),
    [
        ("vit_b_32", 100, 4.408),
        ("swin_b", 100, 15.430),
        ("squeezenet1_1", 10, 0.2635),
        ("shufflenet_v2_x1_0", 10, 0.1439),
    ],
)
def test_known_networks_at_224(name, classes, giga):
    """Counts agree with an independent counter; the ViT's attention is in them (2.947 G without)."""
    with torch.device("meta"):
        model = torchvision.models.get_model(name, num_classes=classes)
    assert complexity(model, (3, 224, 224))["macs"] / 1e9 == pytest.approx(giga, abs=5e-4 if giga > 1 else 5e-5)


def test_attention_is_counted_the_same_in_eval_and_in_training():
    """The fused inference path of attention would hide its products."""
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    model = nn.Sequential(nn.Flatten(2), layer)
    trained, evaluated = complexity(model.train(), (10, 4, 8))["macs"], complexity(model.eval(), (10, 4, 8))["macs"]
    projections, products, feed_forward = 10 * 32 * 32 * 4, 2 * 10 * 10 * 32, 2 * 10 * 32 * 64
    assert trained == evaluated == projections + products + feed_forward


def test_the_model_is_left_as_it_was():
    """Mode, gradients, hooks and state stay: counting works on a copy."""
    model = torchvision.models.squeezenet1_1(num_classes=10).train()
    model.features[0].weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    complexity(model, (3, 64, 64))
    after = model.state_dict()
    assert model.training and not model.features[0].weight.requires_grad and model.features[0].bias.requires_grad
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


class _LooksAtValues(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x):
        return self.layer(x.flatten(1)) if x.sum() == 0 else x


def test_a_model_that_looks_at_values_is_computed():
    """Where shapes alone do not show the path, a picture of zeros goes through a copy."""
    assert complexity(_LooksAtValues(), (1, 2, 2))["macs"] == 8
    assert sum(operation.macs for operation in record(_LooksAtValues(), (1, 2, 2)).operations) == 8


def test_a_picture_that_does_not_fit_is_an_error():
    """The model's own message comes through."""
    with pytest.raises(RuntimeError):
        complexity(nn.Conv2d(3, 8, 3), (1, 8, 8))
