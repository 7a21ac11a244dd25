"""Channel groups: who belongs together, and that a cut model computes what the silenced one computes."""

import copy
import random

import pytest
import timm
import torch
import torchvision
from torch import nn

from strop.errors import UserError
from strop.models import build
from strop.models.groups import channel_groups, check_prunable, remove, silence

PICTURES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def make(name):
    torch.manual_seed(0)
    return build(name, num_classes=10, input_size=64 if name.startswith("cnn") else None).eval()


def draw(groups, most=0.5):
    """Random channels of every group, up to a part of them."""
    drawn = random.Random(0)
    return {g.name: sorted(drawn.sample(range(g.width), drawn.randint(0, int(g.width * most)))) for g in groups}


def relative_difference(a, b):
    return (torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b)).item()


def by_name(groups):
    return {group.name: group for group in groups}


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1", "cnn3", "resnet18_small", "timm:test_efficientnet"]
)
@torch.no_grad()
def test_cut_equals_silenced(name):
    """Residual additions, depthwise convolutions, squeeze-and-excitation, concatenation and flatten come out right."""
    model = make(name)
    groups = channel_groups(model, PICTURES)
    removed = draw(groups)
    cut, silent = copy.deepcopy(model), copy.deepcopy(model)
    remove(cut, groups, removed)
    silence(silent, groups, removed)
    assert sum(map(len, removed.values())) > 10
    assert relative_difference(cut(PICTURES), silent(PICTURES)) < 1e-5
    assert relative_difference(cut(PICTURES), model(PICTURES)) > 1e-3


@torch.no_grad()
def test_cut_equals_a_batch_norm_set_to_zero():
    """Silence shown in another way: a channel whose scale and shift are 0 is gone after the ReLU."""
    model = make("resnet18")
    groups = channel_groups(model, PICTURES)
    removed = {"layer1.0.conv1": [0, 5, 63], "layer3.1.conv1": list(range(100, 200))}
    cut = copy.deepcopy(model)
    remove(cut, groups, removed)
    for convolution, channels in removed.items():
        norm = model.get_submodule(convolution.replace("conv", "bn"))
        norm.weight[channels] = 0
        norm.bias[channels] = 0
    assert relative_difference(cut(PICTURES), model(PICTURES)) < 1e-5
    assert cut.layer1[0].conv1.out_channels == cut.layer1[0].bn1.num_features == cut.layer1[0].conv2.in_channels == 61


def test_a_flatten_gives_each_channel_its_positions():
    """cnn2 on 64 pixels: channel c of 16x16 positions is columns 256 c to 256 c + 255 of the linear layer."""
    last = by_name(channel_groups(make("cnn2"), PICTURES))["features.1.0"]
    linear = next(member for member in last.members if member.name == "fc")
    assert (linear.side, linear.tensors) == ("in", (("fc.weight", 1),))
    assert torch.equal(linear.index, torch.arange(32 * 256).view(32, 256))


def test_a_concatenation_shifts_the_second_half():
    """squeezenet: the 3x3 expansion's channels are read after the 64 of the 1x1 expansion."""
    groups = by_name(channel_groups(make("squeezenet1_1"), PICTURES))
    for expand, offset in (("features.3.expand1x1", 0), ("features.3.expand3x3", 64)):
        reader = next(member for member in groups[expand].members if member.name == "features.4.squeeze")
        assert torch.equal(reader.index.flatten(), torch.arange(64) + offset)


def test_a_residual_sum_is_one_group():
    """resnet18's first stage: stem and both second convolutions write the same 64 channels."""
    groups = channel_groups(make("resnet18"), PICTURES)
    first = groups[0]
    assert (first.name, first.width) == ("conv1", 64)
    writers = {member.name for member in first.members if member.side == "out" and "conv" in member.name}
    assert writers == {"conv1", "layer1.0.conv2", "layer1.1.conv2"}
    readers = {member.name for member in first.members if member.side == "in"}
    assert readers == {"layer1.0.conv1", "layer1.1.conv1", "layer2.0.conv1", "layer2.0.downsample.0"}


def test_logits_stay_and_keep_is_kept():
    """The classifier is never in a group as a writer; named modules keep their width."""
    model = make("resnet18")
    groups = channel_groups(model, PICTURES, keep={"layer4.1.conv2"})
    writers = {member.name for group in groups for member in group.members if member.side == "out"}
    assert "fc" not in writers and "layer4.1.conv2" not in writers and "layer4.0.conv2" not in writers
    with pytest.raises(ValueError, match="no_such"):
        channel_groups(model, PICTURES, keep={"no_such"})


def test_grouped_convolutions_keep_their_width():
    """resnext: only the widths outside the 32 groups can change."""
    groups = channel_groups(torchvision.models.resnext50_32x4d(num_classes=10), PICTURES)
    members = {member.name for group in groups for member in group.members}
    assert groups and "layer1.0.conv2" not in members and "layer1.0.conv3" in members


def test_tracing_leaves_the_model_alone():
    """Mode, frozen parameters, hooks and gradients are as before."""
    model = make("mobilenet_v3_small").train()
    model.features[0].requires_grad_(False)
    channel_groups(model, PICTURES)
    assert all(module.training and not module._forward_hooks for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.features[0].parameters())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_frozen_parameters_stay_frozen_when_cut():
    """Cutting makes new parameters."""
    model = make("cnn3")
    model.features[0].requires_grad_(False)
    remove(model, channel_groups(model, PICTURES), {"features.0.0": [1, 2], "features.1.0": [0]})
    assert {name for name, p in model.named_parameters() if not p.requires_grad} == {
        f"features.0.{layer}.{leaf}" for layer in (0, 1) for leaf in ("weight", "bias")
    }


def test_groups_found_once_cut_a_copy():
    """They are names and numbers, not pointers into the model; two cuts at once equal the sum of both."""
    model = make("cnn3")
    groups = channel_groups(model, PICTURES)
    both, other = copy.deepcopy(model), copy.deepcopy(model)
    remove(both, groups, {"features.0.0": [3], "features.2.0": [0, 63]})
    remove(other, groups, {"features.2.0": [63, 0, 0], "features.0.0": (3,)})
    assert all(torch.equal(a, b) for a, b in zip(both.parameters(), other.parameters(), strict=True))
    assert model.features[0][0].out_channels == 16


@pytest.mark.parametrize(
    ("removed", "message"),
    [({"nobody": [0]}, "no group 'nobody'"), ({"conv1": [64]}, "channels 0 to 63"), ({"conv1": range(64)}, "lose all")],
)
def test_impossible_removals_are_refused(removed, message):
    """Before anything is cut; the library would skip such a group without a word."""
    model = make("resnet18")
    with pytest.raises(ValueError, match=message):
        remove(model, channel_groups(model, PICTURES), removed)
    assert model.conv1.out_channels == 64


def test_layer_norms_keep_the_right_rows():
    """convnext: scale and shift that are left belong to the channels that are left, in order."""
    model = timm.create_model("test_convnext", num_classes=10)
    norms = {name: module for name, module in model.named_modules() if isinstance(module, nn.LayerNorm)}
    for norm in norms.values():
        norm.weight.data = torch.arange(len(norm.weight), dtype=torch.float32)
    groups = channel_groups(model, PICTURES)
    widest = max(groups, key=lambda g: g.width * any(member.name in norms for member in g.members))
    kept = list(range(0, widest.width, 3))
    remove(model, groups, {widest.name: sorted(set(range(widest.width)) - set(kept))})
    touched = [member.name for member in widest.members if member.name in norms]
    assert touched and all(norms[name].weight.tolist() == kept for name in touched)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1", "cnn2", "timm:test_vit"])
def test_prunable_models_pass_the_check(name):
    """Also a transformer whose attention keeps its width; the check does not touch the model."""
    model = make(name)
    before = copy.deepcopy(model.state_dict())
    check_prunable(model, torch.zeros(1, 3, 160, 160) if "vit" in name else PICTURES)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


class _Shuffled(nn.Module):
    """A ShuffleNetV2 that goes by another name."""

    def __init__(self):
        super().__init__()
        self.net = torchvision.models.shufflenet_v2_x0_5(num_classes=10)

    def forward(self, x):
        return self.net(x)


def test_mixtures_beyond_the_library_are_refused_with_the_reason():
    """A channel shuffle that nobody says how to take apart."""
    with pytest.raises(UserError, match="can't be pruned: the way its channels are mixed can't be followed"):
        check_prunable(_Shuffled(), PICTURES)


def small_swin():
    """torchvision's, with a hidden layer of 4 C in each block."""
    sizes = {"patch_size": [4, 4], "embed_dim": 24, "depths": [2, 2], "num_heads": [2, 4], "window_size": [4, 4]}
    return torchvision.models.SwinTransformer(**sizes, num_classes=10)


def small_vit():
    """torchvision's, whose attention and residual sums keep their width; its head is zero when fresh."""
    sizes = {"image_size": 64, "patch_size": 32, "num_layers": 2, "num_heads": 2, "hidden_dim": 32, "mlp_dim": 48}
    model = torchvision.models.VisionTransformer(**sizes, num_classes=10)
    nn.init.normal_(model.heads.head.weight)
    return model


TIMM_SWIN = {"embed_dim": 32, "depths": (1, 1), "num_heads": (1, 2)}


@pytest.mark.parametrize(
    ("make_it", "first", "count"),
    [
        (lambda: build("shufflenet_v2", num_classes=10), ("stage2.0.branch2.0", 58), 17),  # 16 units, the last layer
        (lambda: build("shufflenet_v2", num_classes=10, se=True, head="hidden"), ("stage2.0.branch2.0", 58), 34),
        (lambda: build("tv:shufflenet_v2_x0_5", num_classes=10), ("stage2.0.branch2.0", 24), 17),
        (small_swin, ("features.1.0.mlp.0", 96), 4),
        (
            lambda: build("timm:swin_base_patch4_window7_224", num_classes=10, input_size=64, **TIMM_SWIN),
            ("layers.0.blocks.0.attn.head_dim", 32),
            5,  # two MLPs, the head width of two blocks, the heads of the one that has two
        ),
        (small_vit, ("encoder.layers.encoder_layer_0.mlp.0", 48), 2),
    ],
)
@torch.no_grad()
def test_shuffled_and_rolled_networks_are_taken_apart(make_it, first, count):
    """Within a branch, a block or its attention channels can go; what is shuffled or rolled keeps its width. Cut equals
    silenced.
    """
    torch.manual_seed(0)
    model = make_it().eval()
    groups = channel_groups(model, PICTURES)
    assert ((groups[0].name, groups[0].width), len(groups)) == (first, count)
    removed = draw(groups)
    cut, silent = copy.deepcopy(model), copy.deepcopy(model)
    remove(cut, groups, removed)
    silence(silent, groups, removed)
    assert relative_difference(cut(PICTURES), silent(PICTURES)) < 1e-5
    assert not torch.equal(cut(PICTURES), model(PICTURES))
    assert all(module._forward_pre_hooks == {} for module in model.modules())
    check_prunable(model, PICTURES)


class _ScaledByWidth(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.fc = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 4)

    def forward(self, x):
        x = self.first(x)
        return self.fc(self.second(x / x.shape[1] ** 0.5).mean((2, 3)))


class _FixedWidth(_ScaledByWidth):
    def forward(self, x):
        return self.fc(self.second(self.first(x)).mean((2, 3)).reshape(-1, 8))


@pytest.mark.parametrize(
    ("model", "reason"), [(_ScaledByWidth(), "what the other channels compute"), (_FixedWidth(), "it stops with")]
)
def test_forwards_that_depend_on_a_width_are_refused(model, reason):
    """One would change its function in silence, the other break."""
    with pytest.raises(UserError, match=reason):
        check_prunable(model, PICTURES)


def test_a_zero_head_does_not_hide_a_changed_function():
    """With a head of zeros every output is equal; the check looks behind it."""
    model = _ScaledByWidth()
    nn.init.zeros_(model.fc.weight)
    nn.init.zeros_(model.fc.bias)
    with pytest.raises(UserError, match="what the other channels compute"):
        check_prunable(model, PICTURES)


def test_a_model_without_inner_channels_is_refused():
    """One linear layer makes the logits and nothing else."""
    with pytest.raises(UserError, match="no layer has channels"):
        check_prunable(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 2)), PICTURES)
