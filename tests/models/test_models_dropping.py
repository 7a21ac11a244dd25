"""Dropout and stochastic depth in every family that has them, and a refusal in every one that has not."""

import pytest
import torch

from strop import models
from strop.artifact import rebuild
from strop.errors import UserError
from strop.models.dropping import drop_options

# Read off the signatures and sources of torchvision 0.2x and timm 1.0; convnext and mobilenet_v3 of torchvision take an
# option that they then drop, which must be refused as well.
HAVE = {
    ("cnn3", "dropout"): "dropout",
    ("squeezenet", "dropout"): "dropout",
    ("vgg11", "dropout"): "dropout",
    ("densenet121", "dropout"): "drop_rate",
    ("efficientnet_b0", "dropout"): "dropout",
    ("efficientnet_b0", "drop_path"): "stochastic_depth_prob",
    ("convnext_tiny", "drop_path"): "stochastic_depth_prob",
    ("vit_b_16", "dropout"): "dropout",
    ("timm:resnet18", "dropout"): "drop_rate",
    ("timm:resnet18", "drop_path"): "drop_path_rate",
    ("timm:vit_tiny_patch16_224", "drop_path"): "drop_path_rate",
}
HAVE_NOT = [
    ("resnet18", "dropout"),
    ("resnet18_small", "drop_path"),
    ("cnn3", "drop_path"),
    ("convnext_tiny", "dropout"),
    ("mobilenet_v3_small", "drop_path"),
    ("shufflenet_v2_x0_5", "dropout"),
    ("timm:vgg11", "drop_path"),
]


def builder(name):
    return {"name": name, "options": {"num_classes": 5, "input_size": models.default_input_size(name)}}


@pytest.mark.parametrize(("name", "what"), HAVE)
def test_the_option_is_found(name, what):
    assert drop_options(builder(name), {what: 0.2}) == {HAVE[name, what]: 0.2}


@pytest.mark.parametrize(("name", "what"), HAVE_NOT)
def test_what_is_not_there_is_refused(name, what):
    with pytest.raises(UserError, match=f"{what}: .* has no (dropout|stochastic depth) to set"):
        drop_options(builder(name), {what: 0.2})


@pytest.mark.parametrize(("name", "what"), [("cnn3", "dropout"), ("timm:test_resnet", "drop_path")])
def test_it_drops_in_training_and_never_else(name, what):
    """Around the same weights: in eval mode the output is the same, in training mode chance shows."""
    about = {"name": name, "options": {"num_classes": 5, "input_size": 32}}
    torch.manual_seed(0)
    plain = models.build(name, **about["options"])
    for module in plain.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # some are 0 at first, and to drop what adds nothing shows nothing
            torch.nn.init.ones_(module.weight)
    net = rebuild(dict(about, options=about["options"] | drop_options(about, {what: 0.5})), {}, plain.state_dict())
    images = torch.randn(4, 3, 32, 32)
    assert torch.equal(plain.eval()(images), net.eval()(images))

    def twice(network):
        outputs = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            outputs.append(network.train()(images))
        return outputs

    assert torch.equal(*twice(plain)) and not torch.equal(*twice(net))
