"""Every family of the experiments, the whole way: what docs/models.md says of it is what happens.

Where the network of an experiment is too big for a test, a smaller relative stands in that goes through the same code;
the table names it.
"""

import copy
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F

from strop import artifact
from strop.config import Budget
from strop.deploy.onnx import export_float
from strop.errors import UserError
from strop.models import build, models
from strop.models.classifier import Classifier, Preprocess
from strop.models.freezing import freeze
from strop.models.groups import channel_groups, remove, silence
from strop.models.stages import stages
from strop.prune.criteria import criteria
from strop.prune.prune import prune

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
CLASSES = 7
VIT = {"embed_dim": 96, "depth": 2, "num_heads": 3}
SWIN = {"embed_dim": 32, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 4, 8)}
# What the experiments use: what it is checked on (builder, options, pixels), and how the table says so.
ROWS = {
    "cnn2, cnn3, cnn5": ("cnn3", {}, 32, "cnn3"),
    "cnn_fast": ("cnn_fast", {"residual": True, "width": 16}, 32, "cnn_fast, residual"),
    "resnet20 to resnet110": ("resnet20", {}, 32, "resnet20"),
    "plain20 to plain110": ("plain20", {}, 32, "plain20"),
    "resnet18_small, resnet34_small": ("resnet18_small", {}, 32, "resnet18_small"),
    "resnet18": ("resnet18", {}, 64, "resnet18"),
    "resnet50, resnet101": ("resnet50", {}, 64, "resnet50"),
    "vgg19": ("timm:vgg11", {"mlp_ratio": 0.02}, 32, "timm:vgg11, narrow classifier"),
    "mobilenet_v3_large, mobilenet_v3_small": ("mobilenet_v3_small", {}, 64, "mobilenet_v3_small"),
    "squeezenet": ("squeezenet", {"bypass": "complex"}, 64, "squeezenet, complex bypass"),
    "shufflenet_v1": ("shufflenet_v1", {}, 64, "shufflenet_v1, 3 groups"),
    "shufflenet_v2": ("shufflenet_v2", {"se": True}, 64, "shufflenet_v2 with SE"),
    "timm:vit_base_patch32_224": ("timm:vit_base_patch32_224", VIT, 64, "2 blocks, 96 channels"),
    "timm:swin_base_patch4_window7_224": ("timm:swin_base_patch4_window7_224", SWIN, 64, "4 blocks, 32 channels"),
}
LONG = ("resnet50, resnet101",)


@pytest.mark.parametrize(
    "networks", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in ROWS]
)
def test_the_row_of_the_table_is_what_happens(networks, tmp_path):
    """Built, run, trained, frozen stage by stage, pruned to half, saved, loaded and exported; refusals are listed."""
    name, options, size, stand_in = ROWS[networks]
    page = PAGE.read_text(encoding="utf-8")
    torch.manual_seed(0)
    options = {"num_classes": CLASSES, "in_chans": 3, "input_size": size, **options}
    net = build(name, **options)
    pictures = torch.randn(4, 3, size, size)
    check_backward(net, pictures)
    check_each_stage_freezes(net, pictures)
    settle(net, size)
    check_cut_is_silenced(net, pictures[:2])
    refusal = halve(net, size)
    settle(net, size)
    check_saved_and_loaded(net, pictures, {"name": name, "options": options}, tmp_path)
    check_exported(net, pictures, tmp_path / "model.onnx")
    assert f"| {networks} | {stand_in}, {size} px | yes | yes | {'no' if refusal else 'yes'} | yes | yes |" in page
    assert refusal is None or refusal in page


@pytest.mark.parametrize("entry", models.entries().values(), ids=lambda entry: entry.name)
def test_the_page_names_our_networks_and_their_options(entry):
    """Each in one line of the first table, with all that can be set."""
    line = next(
        line
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `") and f"`{entry.name}`" in line
    )
    assert all(f"`{option}" in line.split(" | ")[1] for option in entry.options if option != "input_size")


def check_backward(net, pictures):
    """Every parameter is reached by the gradient, with finite values that are not all zero."""
    logits = net.train()(pictures)
    assert logits.shape == (len(pictures), CLASSES)
    F.cross_entropy(logits, torch.arange(len(pictures))).backward()
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())
    assert torch.cat([gradient.flatten() for gradient in gradients.values()]).abs().max() > 0


def check_each_stage_freezes(net, pictures):
    """A frozen stage gets no gradient, and all the others get theirs."""
    for stage, names in stages(net, CLASSES).items():
        frozen = freeze(net, CLASSES, (stage,))
        net.zero_grad(set_to_none=True)
        F.cross_entropy(net.train()(pictures), torch.arange(len(pictures))).backward()
        assert {name for name, parameter in net.named_parameters() if parameter.grad is None} == set(names)
        frozen.thaw()
    net.zero_grad(set_to_none=True)


def settle(net, size):
    """Statistics of some pictures, and no tensor of zeros: else fresh networks give nearly the same for everything."""
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    with torch.no_grad():
        for parameter in net.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
        for norm in norms:
            norm.momentum = 1.0
        net.train()(torch.randn(16, 3, size, size))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    net.eval()


@torch.no_grad()
def check_cut_is_silenced(net, pictures):
    """Every second channel gone equals every second channel silenced (layer norms, which read all at once, aside)."""
    dense, pictures = copy.deepcopy(net).double(), pictures.double()
    norms = {name for name, module in dense.named_modules() if isinstance(module, torch.nn.LayerNorm)}
    groups = [g for g in channel_groups(dense, pictures) if not norms & {member.name for member in g.members}]
    gone = {group.name: range(1, group.width, 2) for group in groups}
    cut = copy.deepcopy(dense)
    remove(cut, groups, gone)
    whole = dense(pictures)
    silence(dense, groups, gone)
    expected = dense(pictures)
    assert torch.linalg.vector_norm(cut(pictures) - expected) <= 1e-6 * torch.linalg.vector_norm(expected)
    assert not groups or not torch.allclose(expected, whole, rtol=1e-3)


def halve(net, size):
    """Prune to half of the parameters; returns the refusal of a network that can't be pruned."""
    before = sum(parameter.numel() for parameter in net.parameters())
    half = Budget.read("50%")
    try:
        prune(net, (3, size, size), kind="params", budget=half, criterion=criteria.get("group-norm"))
    except UserError as error:
        reason = error.problems[0].partition(" (")[0].partition(". ")[0].partition(" with: ")[0]
        assert sum(parameter.numel() for parameter in net.parameters()) == before
        return reason
    assert 0.49 < sum(parameter.numel() for parameter in net.parameters()) / before <= 0.5
    return None


def check_saved_and_loaded(net, pictures, builder, folder):
    """What comes back computes the same to the bit."""
    half = (0.5, 0.5, 0.5)
    artifact.save(folder, Classifier(net, Preprocess(pictures.shape[-1], 3, half, half), tuple("abcdefg")), builder)
    with torch.no_grad():
        assert torch.equal(artifact.load(folder).net.eval()(pictures), net.eval()(pictures))


def check_exported(net, pictures, path):
    """ONNX Runtime gives torch's logits within 1e-4, where pictures differ by at least ten times that."""
    export_float(net, tuple(pictures.shape[1:]), path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    [logits] = session.run(None, {"input": pictures.numpy()})
    with torch.no_grad():
        expected = net(pictures).numpy()
    assert np.ptp(expected, axis=0).max() > 1e-3
    assert np.abs(logits - expected).max() < 1e-4
