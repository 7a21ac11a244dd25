"""Counts after a removal, predicted by arithmetic and counted on the model that was really cut."""

import copy
import random
import time

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from strop.measure.complexity import complexity
from strop.models import build
from strop.models.counts import stored_bytes
from strop.models.groups import (
    byte_counter,
    channel_groups,
    mac_counter,
    parameter_counter,
    predict_macs,
    predict_parameters,
    remove,
)


def small_vgg():
    """vgg11_bn with its flatten of 49 positions but a narrow classifier: 100 M random numbers would take seconds."""
    with torch.device("meta"):
        model = torchvision.models.vgg11_bn(num_classes=10)
    model.classifier = nn.Sequential(nn.Linear(512 * 49, 32), nn.ReLU(), nn.Linear(32, 10))
    model.features.to_empty(device="cpu")
    for module in model.features:
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return model


MODELS = {
    "resnet18": torchvision.models.resnet18,
    "mobilenet_v3_small": torchvision.models.mobilenet_v3_small,
    "squeezenet1_1": torchvision.models.squeezenet1_1,
    "vgg11_bn": small_vgg,
    "cnn3": lambda: build("cnn3", num_classes=10),
    "shufflenet_v2": lambda: build("shufflenet_v2", num_classes=10, se=True),
    "test_vit": lambda: build("timm:test_vit", num_classes=10, input_size=64),
}


@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_exact(name):
    """Both for a batch of one and of three pictures; attention is a constant of the MACs."""
    size = 32 if name == "cnn3" else 64
    model, picture = MODELS[name](), torch.zeros(1, 3, size, size)
    groups = channel_groups(model, picture)
    drawn = random.Random(1)
    for _ in range(2):
        removed = {g.name: drawn.sample(range(g.width), drawn.randrange(g.width)) for g in groups}
        counts = {name: len(channels) for name, channels in removed.items()}
        cut = copy.deepcopy(model)
        remove(cut, groups, removed)
        counted = complexity(cut, (3, size, size))
        assert predict_parameters(model, groups, counts) == counted["parameters"]
        assert predict_macs(model, groups, counts, picture.expand(3, -1, -1, -1)) == counted["macs"]


def test_one_channel_by_hand():
    """A channel of cnn3's first layer: 75 weights + bias + batch norm 2, and 25 weights in each of 32 filters."""
    model = build("cnn3", num_classes=10)
    groups = channel_groups(model, torch.zeros(1, 3, 32, 32))
    before = sum(parameter.numel() for parameter in model.parameters())
    assert before - predict_parameters(model, groups, {"features.0.0": 1}) == 75 + 1 + 2 + 25 * 32
    saved = mac_counter(model, groups, torch.zeros(1, 3, 32, 32))
    assert saved([0, 0, 0]) - saved([1, 0, 0]) == 75 * 32 * 32 + 25 * 32 * 16 * 16


def test_nothing_removed_is_the_model_itself():
    """For unknown groups the names are shown."""
    model = build("cnn2", num_classes=10)
    groups = channel_groups(model, torch.zeros(1, 3, 32, 32))
    assert predict_parameters(model, groups, {}) == sum(parameter.numel() for parameter in model.parameters())
    with pytest.raises(ValueError, match="nobody"):
        predict_parameters(model, groups, {"nobody": 1})


def test_a_search_can_ask_thousands_of_times():
    """1000 questions in well under a second (about 5 ms measured), where one removal takes tens of milliseconds."""
    model = torchvision.models.resnet18()
    groups = channel_groups(model, torch.zeros(1, 3, 64, 64))
    count, removed = parameter_counter(model, groups), np.ones(len(groups), dtype=np.int64)
    started = time.perf_counter()
    for _ in range(1000):
        count(removed)
    assert time.perf_counter() - started < 0.5


def test_counting_leaves_the_mode_alone():
    """The forward pass that finds the positions runs in eval mode and puts the mode back."""
    model = torchvision.models.mobilenet_v3_small().train()
    model.features[0].eval()
    mean = model.features[1].block[0][1].running_mean.clone()
    mac_counter(model, [], torch.ones(2, 3, 64, 64))
    assert model.training and not model.features[0].training
    assert torch.equal(mean, model.features[1].block[0][1].running_mean)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "squeezenet1_1", "cnn3", "shufflenet_v2"])
def test_bytes_are_those_of_the_file(name, tmp_path):
    """To the byte for the whole network; after a removal never less, and at most 24 bytes a tensor more."""
    size = 32 if name == "cnn3" else 64
    model = MODELS[name]()
    groups = channel_groups(model, torch.zeros(1, 3, size, size))
    count = byte_counter(model, groups)

    def written(net):
        safetensors.torch.save_file(net.state_dict(), tmp_path / "model.safetensors")
        return (tmp_path / "model.safetensors").stat().st_size

    assert count([0] * len(groups)) == written(model) == stored_bytes(model)
    drawn = random.Random(1)
    removed = {g.name: drawn.sample(range(g.width), drawn.randrange(g.width)) for g in groups}
    predicted = count([len(removed[g.name]) for g in groups])
    remove(model, groups, removed)
    assert 0 <= predicted - written(model) <= 24 * len(model.state_dict())
