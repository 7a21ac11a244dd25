"""Scales and whole filters by proximal steps: by hand, what is left alone, and that zeros are exact."""

import pytest
import torch
from torch import nn

from strop.sparsify import regularisers


def network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 3), nn.LayerNorm(3))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return net


def changed(net, name, strength, lr):
    before = {key: parameter.clone() for key, parameter in net.named_parameters()}
    over = {"over": "filters"} if name == "group-lasso" else {}
    regularisers.get(name)(strength=strength, **over)(net, lr)
    return {key for key, parameter in net.named_parameters() if not torch.equal(parameter, before[key])}


def test_scales_by_hand():
    """sign(g) max(|g| - 0.5 * 0.5, 0)."""
    norm = nn.BatchNorm1d(5)
    norm.weight.data = torch.tensor([-1.0, -0.25, 0.0, 0.125, 0.75])
    regularisers.get("bn-gamma")(strength=0.5)(norm, 0.5)
    assert norm.weight.tolist() == [-0.75, 0.0, 0.0, 0.0, 0.5]


def test_filters_by_hand():
    """A filter (3, 4) of norm 5 with lr * strength * sqrt(2) = 1 keeps 4/5 of itself; one of norm 1/2 goes whole."""
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
    regularisers.get("group-lasso")(strength=2**0.5, over="filters")(layer, 0.5)
    torch.testing.assert_close(layer.weight.data, torch.tensor([[2.4, 3.2], [0.0, 0.0]]))
    assert (layer.weight[1] == 0).all()


def test_group_lasso_is_a_proximal_step():
    """What it gives minimises ||v - w||^2 / 2 + lr strength sqrt(n) ||v||: no point nearby is better."""
    generator = torch.Generator().manual_seed(0)
    layer, lr, strength = nn.Conv2d(3, 1, 3, bias=False), 0.1, 0.4
    start = layer.weight.detach().clone()
    regularisers.get("group-lasso")(strength=strength, over="filters")(layer, lr)
    found = layer.weight.detach()

    def cost(v):
        return ((v - start).square().sum() / 2 + lr * strength * 27**0.5 * v.norm()).item()

    for _ in range(20):
        assert cost(found) < cost(found + 1e-2 * torch.randn(found.shape, generator=generator))


@pytest.mark.parametrize(("name", "moves"), [("bn-gamma", {"1.weight"}), ("group-lasso", {"0.weight", "3.weight"})])
def test_what_moves(name, moves):
    """Only what it is for, nothing at strength 0, nothing that is frozen."""
    assert changed(network(), name, 0.2, 0.5) == moves
    assert changed(network(), name, 0.0, 0.5) == set()
    assert changed(network().requires_grad_(False), name, 0.2, 0.5) == set()


@pytest.mark.parametrize("name", ["bn-gamma", "group-lasso"])
def test_a_negative_strength(name):
    """Is shown."""
    with pytest.raises(ValueError, match=r"strength is -1\.0"):
        regularisers.get(name)(strength=-1.0)
