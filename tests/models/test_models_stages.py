"""Stages: every parameter in exactly one, the same names everywhere, and the published counts."""

import warnings

import pytest
import torch
from torch import nn

from strop.models import build, models
from strop.models.stages import count_stages, stage_of_tensors, stages

TORCHVISION = (
    "alexnet", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t", "mnasnet1_0",
    "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "shufflenet_v2_x1_0",
    "squeezenet1_0", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vgg19_bn", "vit_b_32",
)  # fmt: skip
TIMM = (
    "convnext_atto", "csatv2", "dla34", "efficientformer_l1", "efficientnet_lite0", "efficientvit_m0",
    "inception_v3", "levit_128", "mobilenetv2_100", "mobilevit_s", "pit_ti_224", "poolformer_s12", "pvt_v2_b0",
    "rdnet_tiny", "regnety_002", "repvit_m0_9", "resnet18", "resnetv2_18", "rexnet_100", "test_vit", "vgg11",
    "xcit_nano_12_p8_224",
)  # fmt: skip


def blank(name, num_classes=77):
    """The network without memory; RegNets of torchvision can only be made with."""
    with warnings.catch_warnings(), torch.device("cpu" if name.startswith("tv:regnet") else "meta"):
        warnings.simplefilter("ignore")
        return build(name, num_classes=num_classes)


@pytest.mark.parametrize(
    "name", [*(f"tv:{name}" for name in TORCHVISION), *(f"timm:{name}" for name in TIMM), *models.names()]
)
def test_every_parameter_is_in_one_stage(name):
    """stem (where there is one), layer1 to layerN without gaps, head; and the head gives the logits, nothing else."""
    net = blank(name)
    found = stages(net, 77)
    named = [parameter for names in found.values() for parameter in names]
    assert sorted(named) == sorted(name for name, _ in net.named_parameters())
    inner = [stage for stage in found if stage not in ("stem", "head")]
    assert inner == [f"layer{n}" for n in range(1, len(inner) + 1)] and len(inner) >= 2
    assert list(found) == [*(["stem"] if "stem" in found else []), *inner, "head"]
    sizes = dict(net.named_parameters())
    assert {sizes[parameter].shape[0] for parameter in found["head"]} == {77}


def test_counts_of_resnet50_are_the_published_ones():
    """The freeze groups that the trainable counts of the write-ups [001] and [003] are made of."""
    counts = count_stages(blank("tv:resnet50", 1000), 1000)
    assert counts == {
        "stem": 9_536, "layer1": 215_808, "layer2": 1_219_584, "layer3": 7_098_368, "layer4": 14_964_736,
        "head": 2_049_000,
    }  # fmt: skip
    assert count_stages(blank("tv:resnet50", 240), 240)["head"] == 491_760


@pytest.mark.parametrize(
    ("torchvision", "timm"),
    [
        ("resnet50", "resnet50"),
        ("efficientnet_b0", "efficientnet_b0"),
        ("mobilenet_v2", "mobilenetv2_100"),
        ("mobilenet_v3_large", "mobilenetv3_large_100"),
        ("mobilenet_v3_small", "mobilenetv3_small_100"),
        ("densenet121", "densenet121"),
        ("convnext_tiny", "convnext_tiny"),
        ("swin_t", "swin_tiny_patch4_window7_224"),
        ("vit_b_32", "vit_base_patch32_224"),
        ("vgg11", "vgg11"),
    ],
)
def test_both_libraries_have_the_same_stages(torchvision, timm):
    """The same network written twice, with other names inside: the same stages with the same numbers of parameters."""
    assert count_stages(blank(f"tv:{torchvision}"), 77) == count_stages(blank(f"timm:{timm}"), 77)


@pytest.mark.parametrize("name", ["tv:resnet18", "tv:mobilenet_v2", "timm:resnet18", "timm:mobilevit_s", "cnn3"])
def test_buffers_are_where_their_layer_is(name):
    """The statistics of a batch norm are in the stage of its scale."""
    net = blank(name)
    found = stage_of_tensors(net, 77)
    norms = [path for path, module in net.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms and all(found[f"{path}.running_var"] == found[f"{path}.weight"] for path in norms)


def test_stages_are_in_the_order_of_the_computation():
    """With everything up to a stage frozen, the first gradient is asked for in the stage behind it."""
    net = build("tv:shufflenet_v2_x0_5", num_classes=5).eval()
    order = list(stages(net, 5))
    first_use = {}
    for stage, names in stages(net, 5).items():
        for path in {name.rpartition(".")[0] for name in names}:
            net.get_submodule(path).register_forward_hook(lambda *_, stage=stage: first_use.setdefault(stage))
    net(torch.zeros(1, 3, 32, 32))
    assert list(first_use) == order


def test_what_nobody_knows_is_cut_by_its_modules():
    """A network of someone's own: the children of what holds nearly all parameters, norms with what is before them."""
    body = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32)
    )
    net = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2))
    assert stages(net, 2) == {
        "stem": ["0.0.weight", "0.0.bias", "0.1.weight", "0.1.bias"],
        "layer1": ["0.3.weight", "0.3.bias"],
        "layer2": ["0.4.weight", "0.4.bias", "0.5.weight", "0.5.bias"],
        "head": ["3.weight", "3.bias"],
    }
