"""Attention cut by heads and by their width: what stays computes what the whole computes with the rest silent."""

import copy
import random

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
import torchvision
from timm.layers import LayerNorm
from timm.layers.attention import Attention
from torch import nn

from strop import artifact
from strop.config import Budget
from strop.deploy.onnx import export_float
from strop.errors import GateFailed, UserError
from strop.measure.complexity import complexity
from strop.models import build
from strop.models.attention import attentions, uncut_attentions
from strop.models.classifier import Classifier, Preprocess
from strop.models.groups import channel_groups, check_prunable, predict_macs, predict_parameters, remove, silence
from strop.prune.budget import Plan
from strop.prune.criteria import criteria
from strop.prune.prune import cut as cut_ranked
from strop.prune.prune import prune, rank_channels, weakest
from strop.sparsify.channels import find_channels

SIZE = 64
SHAPE = (3, SIZE, SIZE)
PICTURES = torch.randn(2, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
VIT, SWIN = "timm:vit_base_patch32_224", "timm:swin_base_patch4_window7_224"
SMALL = {"embed_dim": 48, "depth": 2, "num_heads": 3, "patch_size": 16}
POOLED = {"qkv_bias": False, "init_values": 0.1, "class_token": False, "global_pool": "avg", "dynamic_img_size": True}
NETWORKS = {
    "vit": (VIT, SMALL),
    "vit, pooled, without biases": (VIT, SMALL | POOLED),
    "swin, shifted windows": (SWIN, {"embed_dim": 32, "depths": (2, 1), "num_heads": (2, 4), "window_size": 4}),
    "vit, q and k normalised": (VIT, SMALL | {"qk_norm": True}),
}
EXACT = list(NETWORKS)[:3]
FAMILIES = ("vit", "swin, shifted windows")


def options_of(name):
    return {"num_classes": 7, "in_chans": 3, "input_size": SIZE, **NETWORKS[name][1]}


def make(name):
    """No tensor is zero or one, so that nothing that is cut wrongly hides."""
    torch.manual_seed(0)
    return shaken(build(NETWORKS[name][0], **options_of(name)).eval().double())


@torch.no_grad()
def shaken(net):
    for parameter in net.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return net


def relative_difference(a, b):
    return (torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b)).item()


def drawn(groups, *kinds):
    """Some of each group of these kinds, at least one stays."""
    chance = random.Random(0)
    chosen = [g for g in groups if g.kind in kinds]
    return {g.name: sorted(chance.sample(range(g.width), max(1, g.width // 3))) for g in chosen}


@torch.no_grad()
@pytest.mark.parametrize("kinds", [("heads",), ("head width",), ("heads", "head width")])
@pytest.mark.parametrize("name", EXACT)
def test_cut_equals_silenced(name, kinds):
    """In float64 the relative difference is below 1e-12, with windows that are masked too; counts are exact."""
    net = make(name)
    if "swin" in name:
        assert net.layers[0].blocks[1].attn_mask is not None
    groups = channel_groups(net, PICTURES)
    gone = drawn(groups, *kinds)
    cut, silent = copy.deepcopy(net), copy.deepcopy(net)
    remove(cut, groups, gone)
    silence(silent, groups, gone)
    expected = silent(PICTURES)
    assert relative_difference(cut(PICTURES), expected) < 1e-12 and relative_difference(expected, net(PICTURES)) > 1e-3
    counts, counted = {name: len(lost) for name, lost in gone.items()}, complexity(cut, SHAPE)
    assert predict_parameters(net, groups, counts) == counted["parameters"]
    assert predict_macs(net, groups, counts, PICTURES) == counted["macs"] < complexity(net, SHAPE)["macs"]


@torch.no_grad()
def test_silence_by_hand():
    """Not by our own `silence`: a head whose output is thrown away, channels of q, k and v that are zero."""
    net = make("vit")
    groups = channel_groups(net, PICTURES)
    cut = copy.deepcopy(net)
    remove(cut, groups, {"blocks.0.attn.num_heads": [1], "blocks.1.attn.head_dim": [0, 5, 6]})
    first, second = net.blocks[0].attn, net.blocks[1].attn
    first.proj.weight.view(48, 3, 16)[:, 1] = 0
    second.qkv.weight.view(3, 3, 16, 48)[:, :, [0, 5, 6]] = 0
    second.qkv.bias.view(3, 3, 16)[:, :, [0, 5, 6]] = 0
    assert relative_difference(cut(PICTURES), net(PICTURES)) < 1e-12
    after = cut.blocks[0].attn, cut.blocks[1].attn
    assert [(a.num_heads, a.head_dim, a.attn_dim) for a in after] == [(2, 16, 32), (3, 13, 39)]


@torch.no_grad()
def test_cutting_twice_keeps_the_first_scale():
    """16, then 12, then 6 channels, as rounds do: still the softmax of 16."""
    net = make("swin, shifted windows")
    silent = copy.deepcopy(net)
    names = [g.name for g in channel_groups(net, PICTURES) if g.kind == "head width"]
    silence(silent, channel_groups(net, PICTURES), {name: range(6, 16) for name in names})
    for kept in (range(12, 16), range(6, 12)):
        remove(net, channel_groups(net, PICTURES), dict.fromkeys(names, kept))
    assert relative_difference(net(PICTURES), silent(PICTURES)) < 1e-12


@torch.no_grad()
def test_normalised_heads():
    """q and k are normalised over what stays, and their product is scaled as before; whole heads go exactly."""
    net = make("vit, q and k normalised")
    groups = channel_groups(net, PICTURES)
    cut, silent = copy.deepcopy(net), copy.deepcopy(net)
    gone = drawn(groups, "heads")
    remove(cut, groups, gone)
    silence(silent, groups, gone)
    assert relative_difference(cut(PICTURES), silent(PICTURES)) < 1e-12
    check_prunable(net, PICTURES)
    before, kept = net.blocks[0].attn, [c for c in range(16) if c % 4]
    narrow = copy.deepcopy(net)
    remove(narrow, groups, {"blocks.0.attn.head_dim": range(0, 16, 4)})
    tokens = torch.randn(2, 5, 48, dtype=torch.float64)
    q, k, v = before.qkv(tokens).reshape(2, 5, 3, 3, 16).permute(2, 0, 3, 1, 4)[..., kept]
    q, k = (
        F.layer_norm(x, (12,), norm.weight[kept], norm.bias[kept], norm.eps)
        for x, norm in ((q, before.q_norm), (k, before.k_norm))
    )
    mixed = (q @ k.mT / 16**0.5).softmax(-1) @ v
    columns = before.proj.weight.view(48, 3, 16)[..., kept].flatten(1)
    expected = mixed.transpose(1, 2).flatten(2) @ columns.T + before.proj.bias
    torch.testing.assert_close(narrow.blocks[0].attn(tokens), expected)


class _OneAttention(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.first, self.fc = nn.Conv2d(3, 24, 16, 16), nn.Linear(24, 7)
        self.attn = Attention(24, num_heads=3, **options)

    def forward(self, x):
        return self.fc(self.attn(self.first(x).flatten(2).mT).mean(1))


@torch.no_grad()
@pytest.mark.parametrize("options", [{"gated": True, "qkv_bias": True}, {"scale_norm": True, "norm_layer": LayerNorm}])
def test_gates_and_norms_lose_the_rows_of_their_heads(options):
    """A gate is exact; behind a norm over all heads the network still runs, with the widths that were predicted."""
    net = shaken(_OneAttention(**options).eval().double())
    groups = channel_groups(net, PICTURES)
    gone = {"attn.num_heads": [0], "attn.head_dim": [1, 7]}
    cut, silent = copy.deepcopy(net), copy.deepcopy(net)
    remove(cut, groups, gone)
    silence(silent, groups, gone)
    counts = {name: len(lost) for name, lost in gone.items()}
    assert predict_parameters(net, groups, counts) == sum(p.numel() for p in cut.parameters())
    assert cut(PICTURES).isfinite().all() and cut.attn.proj.in_features == 2 * 6
    assert "scale_norm" in options or relative_difference(cut(PICTURES), silent(PICTURES)) < 1e-12


@pytest.mark.parametrize("kind", ["params", "macs"])
@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize("name", FAMILIES)
def test_to_a_budget(name, scope, kind):
    """Within 0.5 % with heads, their width and all else together; a head of a quarter of its width stays."""
    net = make(name).float()
    report = prune(net, SHAPE, kind=kind, budget=Budget.read("40%"), criterion=criteria.get("group-norm"), scope=scope)
    after = complexity(net, SHAPE)
    assert report["after"] == after[{"params": "parameters", "macs": "macs"}[kind]]
    assert 0.995 * report["limit"] <= report["after"] <= report["limit"]
    for attention in attentions(net):
        widths = (report["widths"][f"{attention.name}.{leaf}"] for leaf in ("num_heads", "head_dim"))
        assert [kept for _, kept in widths] == [attention.heads, attention.width]
        assert attention.heads >= 1 and attention.width >= 4
    assert any(kept < whole for n, (whole, kept) in report["widths"].items() if "attn" in n)
    assert net(PICTURES.float()).isfinite().all()


def test_what_is_asked_for_is_cut():
    """Heads alone, their width alone, neither; and a budget that MLPs alone can't reach is refused before it is cut."""
    found = {
        cuts: {g.kind for g in channel_groups(make("swin, shifted windows"), PICTURES, attention=cuts)}
        for cuts in ("both", "heads", "width", "whole")
    }
    assert found == {
        "both": {"heads", "head width", "channels"},
        "heads": {"heads", "channels"},
        "width": {"head width", "channels"},
        "whole": {"channels"},
    }
    less = {"kind": "params", "budget": Budget.read("25%"), "criterion": criteria.get("magnitude")}
    with pytest.raises(GateFailed, match="can't be met"):
        prune(make("swin, shifted windows").float(), SHAPE, **less, attention="whole")
    assert prune(make("swin, shifted windows").float(), SHAPE, **less)["after"] > 0


@torch.no_grad()
@pytest.mark.parametrize("name", FAMILIES)
def test_comes_back_and_is_exported(name, tmp_path):
    """Loaded with difference 0.0 from shapes that don't tell heads from widths; ONNX Runtime within 1e-4."""
    net = make(name).float()
    prune(net, SHAPE, kind="params", budget=Budget.read("40%"), criterion=criteria.get("group-norm"))
    half, pictures = (0.5, 0.5, 0.5), PICTURES.float()
    builder = {"name": NETWORKS[name][0], "options": options_of(name)}
    written = artifact.save(tmp_path, Classifier(net, Preprocess(SIZE, 3, half, half), tuple("abcdefg")), builder)
    assert torch.equal(artifact.load(tmp_path).net(pictures), net(pictures))
    for attention in attentions(net):
        noted = written["attributes"][attention.name]
        assert noted.get("num_heads", attention.heads) == attention.heads and "scale" in noted
    assert written["builder"]["options"] == options_of(name) and len(written["golden"]) == 2
    export_float(net, SHAPE, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    [logits] = session.run(None, {"input": pictures.numpy()})
    assert np.abs(logits - net(pictures).numpy()).max() < 1e-4 < 1e-2 < np.ptp(logits, axis=0).max()


@torch.no_grad()
@pytest.mark.parametrize("criterion", ["group-norm", "magnitude", "taylor", "random"])
def test_the_weakest_of_each_head_go_together(criterion):
    """Channels of q and k that are nearly silent, and others of v in other heads: both go, and nothing else changes."""
    net, pictures = make("vit").float(), PICTURES.float()
    weak = {0: ((0, 3, 9), (1, 2, 4)), 1: ((5, 6, 7), (8, 9, 15)), 2: ((0, 1, 2), (3, 4, 5))}
    for attention in attentions(net):
        rows = attention.module.qkv.weight.view(3, 3, 16, 48), attention.module.qkv.bias.view(3, 3, 16)
        for head, (of_qk, of_v) in weak.items():
            for tensor in rows:
                tensor[:2, head, of_qk] *= 1e-6
                tensor[2, head, of_v] *= 1e-6
    gradients = None
    if criterion == "taylor":
        with torch.enable_grad():
            loss = F.cross_entropy(net(pictures), torch.tensor([1, 2]))
            found = torch.autograd.grad(loss, list(net.parameters()))
        gradients = [dict(zip(dict(net.named_parameters()), found, strict=True))]
    ranked = rank_channels(net, SHAPE, criteria.get(criterion), gradients, attention="width")
    narrow = copy.deepcopy(net)
    names = [group.name for group in ranked.groups if group.kind == "head width"]
    remove(narrow, ranked.groups, {name: weakest(ranked.importance[name], 3) for name in names})
    same = relative_difference(narrow(pictures), net(pictures)) < 1e-4
    assert same == (criterion != "random")


def test_batch_norm_scales_say_nothing_of_heads():
    """There are none; the message names the heads and another criterion."""
    with pytest.raises(UserError, match=r"num_heads pass no batch norm. Write --criterion group-norm"):
        rank_channels(make("swin, shifted windows").float(), SHAPE, criteria.get("bn-gamma"))


@torch.no_grad()
def test_a_head_that_group_lasso_emptied_can_go():
    """Its heads are groups, their width is none; a silent head is removed with no difference."""
    net = make("vit").float()
    found = {channels.name: channels for channels in find_channels(net, PICTURES.float())}
    assert "blocks.0.attn.num_heads" in found and not [name for name in found if name.endswith("head_dim")]
    found["blocks.0.attn.num_heads"].scale(torch.tensor([1.0, 0.0, 1.0]))
    cut = copy.deepcopy(net)
    remove(cut, channel_groups(net, PICTURES.float()), {"blocks.0.attn.num_heads": [1]})
    torch.testing.assert_close(cut(PICTURES.float()), net(PICTURES.float()))


@pytest.mark.parametrize(
    ("make_it", "kind"),
    [
        (lambda: torchvision.models.VisionTransformer(64, 32, 1, 2, 32, 48, num_classes=7), "MultiheadAttention"),
        (lambda: torchvision.models.SwinTransformer([4, 4], 24, [1, 1], [2, 2], [4, 4], num_classes=7), "Shifted"),
        (lambda: build("timm:swinv2_tiny_window8_256", num_classes=7, input_size=64, depths=(1, 1), num_heads=(1, 2),
                       embed_dim=32, window_size=4), "WindowAttention"),
    ],
)  # fmt: skip
def test_attention_that_is_not_understood_stays_whole(make_it, kind):
    """torchvision's, and SwinV2's cosine attention: named, and only what is outside is cut."""
    net = make_it().eval()
    assert uncut_attentions(net) and all(found.startswith(kind) for found in uncut_attentions(net).values())
    groups = channel_groups(net, PICTURES.float())
    assert groups and {group.kind for group in groups} == {"channels"}
    touched = {member.name for group in groups for member in group.members}
    assert not any(layer.startswith(f"{name}.qkv") for name in uncut_attentions(net) for layer in touched)


class _OwnNorm(nn.Module):
    """Says nothing of its width, which is in its weights."""

    def __init__(self, width, **where):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width, **where))

    def forward(self, x):
        return self.weight * F.normalize(x, dim=-1)


def test_norms_of_ones_own():
    """Over all heads: the attention stays whole, and the rest can be cut. Over q and k: heads go, their width stays."""
    net = shaken(_OneAttention(scale_norm=True, norm_layer=_OwnNorm).eval())
    assert uncut_attentions(net) == {"attn": "Attention"}
    assert {group.kind for group in channel_groups(net, PICTURES.float())} == {"channels"}
    check_prunable(net, PICTURES.float())
    net = shaken(_OneAttention(qk_norm=True, norm_layer=_OwnNorm).eval())
    assert {group.kind for group in channel_groups(net, PICTURES.float())} == {"channels", "heads"}
    check_prunable(net, PICTURES.float())


def test_cut_ranked_counts_what_was_predicted():
    """`cut` raises where a prediction is off; with heads and width of a layer crossed it is not."""
    net = make("swin, shifted windows").float()
    ranked = rank_channels(net, SHAPE, criteria.get("random"))
    cut_ranked(net, ranked, Plan({name: max(1, width // 2) for name, width in ranked.widths.items()}, 0, 1))
    assert {a.heads for a in attentions(net)} == {1, 2}
