"""Frozen stages: which they are, how much still trains, and that nothing in them moves."""

import copy
import re

import pytest
import torch

from strop.distill import losses as distillation
from strop.distill.objective import Distilled
from strop.errors import UserError
from strop.models import build
from strop.models.classifier import Classifier, Preprocess
from strop.models.freezing import choose_stages, freeze, read_stages
from strop.models.stages import stage_of_tensors
from strop.sparsify.l1 import L1
from strop.train.ema import start_average, update_average
from strop.train.losses import losses
from strop.train.objective import Supervised
from strop.train.optim import make_optimizer

RESNET = ["stem", "layer1", "layer2", "layer3", "layer4", "head"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("stem,layer1", ["stem", "layer1"]),
        (["layer1", " stem"], ["stem", "layer1"]),
        ("stem..layer3", ["stem", "layer1", "layer2", "layer3"]),
        ("stem,layer2..layer4", ["stem", "layer2", "layer3", "layer4"]),
        ("all-but-head", RESNET[:-1]),
        ("all-but-layer4,head", RESNET[:-2]),
        ("all-but-layer3..head", RESNET[:-3]),
        ("none", []),
        (None, []),
        ((), []),
    ],
)
def test_stages_can_be_written_in_these_ways(written, meant):
    """One by one, as a range, or by what is left over."""
    assert choose_stages(read_stages(written), RESNET) == meant


@pytest.mark.parametrize("wrong", ["", "stem,,head", "layer1-layer3", "stem,all-but-head", 3, [3], "a...b", "all-but-"])
def test_what_is_not_readable_is_refused(wrong):
    """With the ways that are."""
    with pytest.raises(ValueError, match="Write stem,layer1 or stem..layer3 or all-but-head"):
        read_stages(wrong)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("layer5",), "'layer5' is no stage of this network. Its stages: stem, layer1, layer2, layer3, layer4, head."),
        (("layer3..stem",), "'layer3..stem' runs backwards. Write stem..layer3."),
    ],
)
def test_unknown_stages_are_refused_with_the_known_ones(words, said):
    """In the order of the network."""
    with pytest.raises(UserError, match=re.escape(said)):
        choose_stages(words, RESNET)


@pytest.mark.parametrize(
    ("classes", "words", "trainable"),
    [
        (1000, "stem,layer1", 25_331_688),
        (1000, "stem..layer2", 24_112_104),
        (1000, "stem..layer3", 17_013_736),
        (1000, "stem..layer4", 2_049_000),
        (240, "all-but-head", 491_760),
        (240, "all-but-layer4,head", 15_456_496),
        (240, "all-but-layer3..head", 22_554_864),
        (1000, "none", 25_557_032),
    ],
)
def test_what_trains_of_resnet50_is_what_was_published(classes, words, trainable):
    """The write-ups [001] (ImageNet-1k) and [003] (240 classes)."""
    with torch.device("meta"):
        net = build("resnet50", num_classes=classes)
    frozen = freeze(net, classes, read_stages(words))
    assert frozen.trainable == trainable == sum(p.numel() for p in net.parameters() if p.requires_grad)
    optimizer = make_optimizer(net, "sgd", lr=0.1, weight_decay=1e-4)
    assert sum(p.numel() for group in optimizer.param_groups for p in group["params"]) == trainable


def test_something_must_train():
    """All stages frozen is a mistake."""
    with pytest.raises(UserError, match="nothing is left to train. Leave out one of layer1, layer2, head"):
        freeze(build("cnn2", num_classes=3), 3, ("layer1..head",))


def test_thawing_gives_back_what_trained_before_and_no_more():
    """A position embedding that is fixed by design stays fixed."""
    net = build("cnn3", num_classes=3)
    net.features[0][0].bias.requires_grad_(False)
    before = [parameter.requires_grad for parameter in net.parameters()]
    frozen = freeze(net, 3, ("layer1", "layer2"))
    assert sum(parameter.requires_grad for parameter in net.parameters()) == 6
    frozen.thaw()
    assert [parameter.requires_grad for parameter in net.parameters()] == before


def classifier(name, seed=0, side=32):
    torch.manual_seed(seed)
    net = build(name, num_classes=3, input_size=side)
    return Classifier(net, Preprocess(side, 3, (0.5,) * 3, (0.25,) * 3), ("a", "b", "c"))


def supervised(model):
    return Supervised(model, losses.get("cross-entropy")())


def distilled(model):
    soft = distillation.get("kd")()
    return Distilled(supervised(model), classifier("cnn2", seed=1), soft)


@pytest.mark.parametrize("make", [supervised, distilled])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet18", ("stem..layer2",)),
        ("resnet18", ("layer2", "layer4")),
        ("tv:mobilenet_v2", ("all-but-layer7", "head")),
        ("timm:test_efficientnet", ("all-but-head",)),
        ("timm:test_vit", ("stem", "layer1..layer3")),
    ],
)
def test_nothing_frozen_moves(make, name, words):
    """Two updates with decay, L1 and an average: frozen tensors, statistics, counters keep their bits; others move."""
    model = classifier(name)
    objective = make(model)
    chosen = freeze(model.net, 3, words).stages
    before = copy.deepcopy(model.net.state_dict())
    average = start_average(model.net)
    optimizer, l1 = make_optimizer(model, "sgd", lr=0.5, weight_decay=0.1), L1(strength=0.1)
    images = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    for _ in range(2):
        objective.mode(train=True)
        optimizer.zero_grad()
        objective(images, torch.arange(6) % 3).total.backward()
        optimizer.step()
        l1(model.net, 0.5)
        update_average(average, model.net, 0.3)
    place, after = stage_of_tensors(model.net, 3), model.net.state_dict()
    moved = dict.fromkeys(place.values(), False)
    for tensor, value in before.items():
        if place[tensor] in chosen:
            assert torch.equal(after[tensor], value) and torch.equal(average[tensor], value), tensor
        else:
            moved[place[tensor]] |= not torch.equal(after[tensor], value)
    assert {stage for stage, did in moved.items() if did} == set(moved) - set(chosen)
    for path, module in model.net.named_modules():
        if hasattr(module, "running_var"):
            assert module.training == (place[f"{path}.running_var"] not in chosen), path


def test_frozen_beginnings_cost_no_graph():
    """What leaves the last frozen stage has no history, so nothing in front of it is kept for the backward pass."""
    model = classifier("resnet18")
    freeze(model.net, 3, ("stem..layer3",))
    grown = {}
    for name in ("layer3", "layer4"):
        model.net.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: grown.update({name: output.grad_fn is not None})
        )
    saved = []
    model.train()
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor) or tensor, lambda tensor: tensor):
        model(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    assert grown == {"layer3": False, "layer4": True}
    kept = sum(tensor.numel() for tensor in saved)
    saved.clear()
    whole = classifier("resnet18").train()
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor) or tensor, lambda tensor: tensor):
        whole(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    # layer4 holds 8.39 of 11.18 million weights, and those are most of what is saved for 1x1 maps
    assert kept < 0.8 * sum(tensor.numel() for tensor in saved)


def test_everything_trains_where_nothing_is_frozen():
    """The override of `train` changes nothing then, and eval mode is eval mode."""
    model = classifier("resnet18").train()
    assert all(module.training for module in model.modules())
    assert not any(module.training for module in model.eval().modules())
