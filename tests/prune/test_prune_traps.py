"""What went wrong elsewhere when networks were pruned, each as a test.

Others stand where their part is tested: a zero-initialised head that hides a changed function, forwards with a width
written into them, the order of layer norms' rows and the library's way of skipping emptied groups
(tests/models/test_models_groups.py); frozen layers that thaw when they are cut (there too); a stride that no shape
tells (tests/artifact/test_artifact.py); one threshold over all groups that starves a layer, and the floor against it
(tests/prune/test_prune_budget.py).
"""

import copy
import inspect
import json

import pytest
import timm
import torch
import torch.nn.functional as F
import torch_pruning
import torchvision

from strop import artifact
from strop.config import Budget
from strop.errors import GateFailed, UserError
from strop.models import build
from strop.models.classifier import Classifier, Preprocess
from strop.models.groups import channel_groups, remove, silence
from strop.prune.criteria import criteria
from strop.prune.prune import prune

GROUP_NORM = criteria.get("group-norm")


def cut(net, budget, size=32, channels=3, **options):
    return prune(
        net, (channels, size, size), kind="params", budget=Budget.read(budget), criterion=GROUP_NORM, **options
    )


def test_narrower_heads_change_the_softmax_scale():
    """Attention divides by the root of the head's width: cutting zeros out changes it, unless q is scaled by hand."""
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 4, 9, 16, dtype=torch.float64)  # two pictures, four heads, nine tokens, 16 channels
    q[..., 8:] = 0  # half of each head is silent, so that nothing reads it
    silent = F.scaled_dot_product_attention(q, k, v)
    narrow = F.scaled_dot_product_attention(q[..., :8], k[..., :8], v)
    assert (silent - narrow).norm() / silent.norm() > 0.1
    scaled = F.scaled_dot_product_attention(q[..., :8] * (8 / 16) ** 0.5, k[..., :8], v)
    assert (silent - scaled).norm() / silent.norm() < 1e-12


@pytest.mark.parametrize("name", ["timm:test_vit", "timm:swin_base_patch4_window7_224"])
@torch.no_grad()
def test_narrower_heads_keep_their_scale(name):
    """With half of each head's channels gone the function is that of silenced ones, fused or not."""
    swin = {"embed_dim": 32, "depths": (1, 1), "num_heads": (1, 2)}
    size = 160 if name == "timm:test_vit" else 64
    torch.manual_seed(0)
    net = build(name, num_classes=10, input_size=size, **({} if "vit" in name else swin)).eval().double()
    pictures = torch.randn(2, 3, size, size, dtype=torch.float64)
    groups = channel_groups(net, pictures)
    gone = {group.name: range(1, group.width, 2) for group in groups if group.kind == "head width"}
    assert gone
    narrow, silent = copy.deepcopy(net), copy.deepcopy(net)
    remove(narrow, groups, gone)
    silence(silent, groups, gone)
    expected = silent(pictures)
    attention = {name: m for name, m in net.named_modules() if hasattr(m, "num_heads") and hasattr(m, "qkv")}
    assert attention
    for name, before in attention.items():
        after = narrow.get_submodule(name)
        assert after.num_heads == before.num_heads and after.scale == pytest.approx(before.scale * 2**0.5)
        assert 2 * after.qkv.out_features == before.qkv.out_features
    for fused in (True, False):
        for attention_name in attention:
            narrow.get_submodule(attention_name).fused_attn = fused
        assert (narrow(pictures) - expected).norm() / expected.norm() < 1e-12


@pytest.mark.parametrize("scope", ["local", "global"])
def test_a_smaller_budget_never_leaves_more(scope):
    """A group that would lose all its channels must not be skipped, which would leave it whole (0 % gone at 99.9 %)."""
    left = []
    for budget in ("60%", "20%", "8%", "4%"):
        torch.manual_seed(0)
        net = build("resnet20", num_classes=10, input_size=32, shortcut="B").eval()
        report = cut(net, budget, scope=scope)
        left.append(sum(parameter.numel() for parameter in net.parameters()))
        assert left[-1] == report["after"] <= report["limit"]
        assert min(kept for _, kept in report["widths"].values()) >= 1
    assert left == sorted(left, reverse=True) and len(set(left)) == 4
    with pytest.raises(GateFailed, match="can't be met"):
        cut(net, "0.01%", scope=scope)


def defaults():
    """What the library keeps between calls: the default arguments of everything that takes a list or a table."""
    functions = [torch_pruning.DependencyGraph.build_dependency, torch_pruning.DependencyGraph.get_all_groups]
    functions += [torch_pruning.pruner.algorithms.base_pruner.BasePruner.__init__]
    return [
        (f.__qualname__, p.name, repr(p.default))
        for f in functions
        for p in inspect.signature(f).parameters.values()
        if isinstance(p.default, list | dict | set)
    ]


def test_nothing_leaks_from_one_network_into_the_next():
    """A ResNeXt once left 16 entries in a default argument, and the next network was pruned by them."""
    torch.manual_seed(0)
    pictures = torch.zeros(2, 3, 32, 32)
    net = build("cnn3", num_classes=10, input_size=32).eval()
    before, kept = [(g.name, g.width) for g in channel_groups(net, pictures)], defaults()
    grouped = torchvision.models.resnext50_32x4d(num_classes=10).eval()
    channel_groups(grouped, pictures)
    cut(timm.create_model("test_efficientnet", num_classes=10).eval(), "60%")
    assert defaults() == kept and kept
    assert [(g.name, g.width) for g in channel_groups(net, pictures)] == before


def test_a_network_of_another_stem_is_not_loaded(tmp_path):
    """A pruned network whose first layer keeps the resolution, said to be the one that halves it twice.

    A rebuild by shapes alone would fit every tensor in and compute something else; the golden output tells.
    """
    torch.manual_seed(0)
    options = {"num_classes": 10, "in_chans": 3, "input_size": 32}
    net = build("resnet18_small", **options).eval()
    cut(net, "5%")
    preprocess = Preprocess(32, 3, (0.4,) * 3, (0.25,) * 3)
    artifact.save(
        tmp_path, Classifier(net, preprocess, tuple("abcdefghij")), {"name": "resnet18_small", "options": options}
    )
    assert artifact.load(tmp_path).net.conv1.stride == (1, 1)
    about = json.loads((tmp_path / "model.json").read_text())
    assert len(about["golden"]) == 2 and len(about["golden"][0]) == 10 and about["tensors"].startswith("sha256:")
    about["builder"]["name"] = "tv:resnet18"
    (tmp_path / "model.json").write_text(json.dumps(about))
    assert artifact.load(tmp_path, verify=False).net.conv1.stride == (2, 2)  # every shape fits
    with pytest.raises(UserError, match="does not give the output"):
        artifact.load(tmp_path)
