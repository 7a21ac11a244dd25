"""The two controls: factors that recompose, spectra under a budget, zeros that are the smallest and stay."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from strop import artifact
from strop.errors import GateFailed, UserError
from strop.models import build
from strop.models.classifier import Classifier, Preprocess
from strop.models.factoring import Factored
from strop.prune.prune import count_whole
from strop.prune.svd import choose_ranks, factorize, spectra
from strop.prune.unstructured import choose_kept, count_remaining, prunable_weights, silence
from strop.sparsify import regularisers
from strop.steps.prune import Prune
from strop.steps.stored import describe_layers, layer_sizes

SHAPE = (1, 16, 16)
OPTIONS = {"num_classes": 4, "in_chans": 1, "input_size": 16, "width": 16, "residual": True}
BUILDER = {"name": "cnn_fast", "options": OPTIONS}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return build("cnn_fast", **OPTIONS).eval()


def pictures(n=3):
    return torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(16, 24, 3, stride=2, padding=1),
        nn.Conv2d(16, 160, 3, bias=False, dilation=2),
        nn.Linear(40, 24),
        nn.Linear(24, 40),
    ],
)
@torch.no_grad()
def test_factors_are_the_nearest_matrix_and_compute_it(layer):
    """The product is numpy's truncated decomposition, the two layers compute it, and at full rank the layer itself."""
    matrix = layer.weight.flatten(1).double().numpy()
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    x = torch.randn(2, *((16, 12, 12) if isinstance(layer, nn.Conv2d) else (layer.weight.shape[1],)))
    for rank in (1, 5, len(s)):
        net = nn.Sequential(copy.deepcopy(layer))
        factorize(net, {"0": rank})
        product = net[0].product().flatten(1).numpy()
        np.testing.assert_allclose(product, u[:, :rank] * s[:rank] @ v[:rank], atol=2e-6)
        assert net[0].rank == rank and isinstance(net[0], Factored)
        whole = copy.deepcopy(layer)
        whole.weight.copy_(net[0].product())
        torch.testing.assert_close(net(x), whole(x), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(net(x), layer(x), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(("kind", "share"), [("params", 0.3), ("params", 0.7), ("macs", 0.5), ("bytes", 0.5)])
def test_ranks_meet_the_budget(net, kind, share):
    """At or under it; what was predicted is what is there, of a file to some bytes."""
    found, whole = spectra(net, torch.zeros(2, *SHAPE), kind), count_whole(net, kind, SHAPE)
    limit = int(share * whole)
    plan = choose_ranks(found, whole - sum(one.whole for one in found.values()), limit, round_to=4)
    factorize(net, {name: rank for name, rank in plan.keep.items() if rank < len(found[name].energy)})
    after = count_whole(net, kind, SHAPE)
    assert after <= plan.cost <= limit and plan.cost >= 0.97 * limit
    assert after == plan.cost or kind == "bytes"


def test_ranks_go_where_the_energy_is(net):
    """Of two like layers the one with few large singular values gets the lower rank."""
    flat, steep = np.full(32, 1 / 32), 0.5 ** np.arange(32)
    found = spectra(net, torch.zeros(2, *SHAPE), "params")
    one = next(iter(found.values()))._replace(whole=32 * 64, first=0, each=96)
    layers = {"flat": one._replace(energy=flat), "steep": one._replace(energy=steep / steep.sum())}
    plan = choose_ranks(layers, 0, 2 * 32 * 64 - 900, round_to=1)
    assert plan.keep["steep"] < plan.keep["flat"] == 32
    with pytest.raises(GateFailed, match="with rank 1 in every layer that can be factored 192 remain"):
        choose_ranks(layers, 0, 191, round_to=1)


def test_a_factored_network_reloads_to_the_bit(net, tmp_path):
    """model.json says the ranks; a rank that no layer has is refused, and so is a layer that is not there."""
    ranks = dict.fromkeys(list(spectra(net, torch.zeros(2, *SHAPE), "params"))[:2], 5)
    factorize(net, ranks)
    model = Classifier(net, Preprocess(16, 1, (0.5,), (0.5,)), tuple("abcd"))
    artifact.save(tmp_path, model, BUILDER | {"ranks": ranks})
    again = artifact.load(tmp_path)
    assert (again.net(pictures()) - net(pictures())).abs().max().item() == 0.0
    path, (name, *_) = tmp_path / "model.json", ranks
    text = path.read_text()
    for wrong in (text.replace(f'"{name}": 5', f'"{name}": 1000000'), text.replace(f'"{name}": 5', '"nowhere": 5')):
        assert wrong != text
        path.write_text(wrong)
        with pytest.raises(UserError, match="do not belong together"):
            artifact.load(tmp_path)


@pytest.mark.parametrize("scope", ["local", "global"])
def test_the_smallest_weights_are_zero(net, scope):
    """At or just under the budget; no zero was larger than what stayed: of its layer, or of all layers."""
    before = {name: weight.detach().abs().clone() for name, weight in prunable_weights(net).items()}
    total = sum(parameter.numel() for parameter in net.parameters())
    silence(net, choose_kept(net, total // 10, scope=scope))
    assert total // 10 - len(before) <= count_remaining(net) <= total // 10
    gone = {name: before[name][weight == 0] for name, weight in prunable_weights(net).items()}
    stay = {name: before[name][weight != 0] for name, weight in prunable_weights(net).items()}
    assert all(gone[name].max() <= stay[name].min() for name in before if len(gone[name]))
    if scope == "global":
        assert max(v.max() for v in gone.values() if len(v)) <= min(v.min() for v in stay.values() if len(v) > 1)
    with pytest.raises(GateFailed, match="keeps one"):
        choose_kept(net, 10, scope=scope)


def test_zeros_stay_zero(net):
    """Momentum and decay move them; after each update they are zero again, and other weights are as they were moved."""
    silence(net, choose_kept(net, count_remaining(net) // 5))
    zeros = {name: weight == 0 for name, weight in prunable_weights(net).items()}
    keep = regularisers.get("keep-zeros")()
    keep.begin(net, pictures())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        net(pictures()).square().sum().backward()
        optimizer.step()
        moved = {name: weight.detach().clone() for name, weight in prunable_weights(net).items()}
        keep(net, 0.1)
        for name, weight in prunable_weights(net).items():
            assert torch.equal(weight, moved[name].masked_fill(zeros[name], 0))
    assert any(bool(moved[name][zeros[name]].any()) for name in zeros)


def test_a_row_a_layer(net):
    """The figures by hand: a matrix of rank 3, a zeroed layer, a layer as it was, and one that is gone."""
    sizes = layer_sizes(net) | {"gone": 400}
    first, second, *_ = names = list(spectra(net, torch.zeros(2, *SHAPE), "params"))
    factorize(net, {first: 3})
    with torch.no_grad():
        net.get_submodule(second).weight.flatten()[1:] = 0
    rows = {row["layer"]: row for row in describe_layers(net, sizes)}
    factored = net.get_submodule(first)
    weights = 3 * sum(factored.product().flatten(1).shape)
    assert rows[first]["rank"] == 3 and rows[first]["shape"] == list(factored.product().shape)
    assert (rows[first]["weights"], rows[first]["bytes_after"]) == (weights, 4 * weights)
    assert rows[first]["ratio"] == pytest.approx(sizes[first] / (4 * weights), abs=1e-3)
    assert rows[second]["packed"] and rows[second]["sparsity"] == pytest.approx(1, abs=1e-3)
    assert rows[names[-1]]["ratio"] == 1.0 and (rows["gone"]["bytes_after"], rows["gone"]["ratio"]) == (0, None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"params": "9%", "method": "svd", "rounds": 2}, "rounds: has no effect with method svd"),
        ({"params": "9%", "method": "svd", "criterion": "taylor"}, "criterion: has no effect with method svd"),
        ({"macs": "9%", "method": "unstructured"}, "macs: .*write params, of what is not zero"),
        ({"params": "9%", "method": "unstructured", "sparsify": "l1"}, "sparsify: has no effect"),
        ({"params": "9%", "method": "svd", "attention": "heads"}, "attention: has no effect with method svd"),
        ({"latency": "1ms", "method": "svd"}, "latency: .*write params, macs or bytes"),
    ],
)
def test_what_has_no_effect_is_refused(options, said):
    with pytest.raises(UserError, match=said):
        Prune(parent="runs/x", epochs=4, **options)


def test_runs_of_channels_keep_their_keys():
    """The usual method is no part of the settings: what was pruned before there were others is not done again."""
    assert "method" not in Prune(parent="runs/x", params="9%").settings()
    assert Prune(parent="runs/x", params="9%", method="svd").settings()["method"] == "svd"
