"""L1 by proximal steps: the soft threshold by hand, and what is left alone."""

import pytest
import torch
from torch import nn

from strop.sparsify import regularisers
from strop.sparsify.weights import zero_share


def l1(strength):
    return regularisers.get("l1")(strength=strength)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 3), nn.LayerNorm(3))


def test_the_soft_threshold_by_hand():
    """sign(w) max(|w| - 0.5 * 0.5, 0); at the threshold itself the weight is exactly 0."""
    layer = nn.Linear(6, 1, bias=False)
    layer.weight.data = torch.tensor([[-1.0, -0.25, -0.125, 0.0, 0.25, 0.75]])
    l1(0.5)(layer, 0.5)
    assert layer.weight.tolist() == [[-0.75, 0.0, 0.0, 0.0, 0.0, 0.5]]


def test_only_weights_of_convolutions_and_linear_layers_move():
    """Biases and norms stay, to the bit; every weight comes nearer to 0 by the threshold, none changes its sign."""
    net = network()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn_like(parameter))
    before = {name: parameter.clone() for name, parameter in net.named_parameters()}
    l1(0.2)(net, 0.5)
    for name, parameter in net.named_parameters():
        if name in ("0.weight", "3.weight"):
            expected = before[name].sign() * (before[name].abs() - 0.1).clamp_min(0)
            torch.testing.assert_close(parameter, expected)
            assert (parameter == 0).any()
        else:
            assert torch.equal(parameter, before[name])


def test_frozen_layers_stay():
    """What is not trained is not made sparse either."""
    net = network()
    net[0].weight.requires_grad_(False)
    before = [net[i].weight.clone() for i in (0, 3)]
    l1(1.0)(net, 0.01)
    assert torch.equal(net[0].weight, before[0]) and not torch.equal(net[3].weight, before[1])


def test_strength_zero_changes_nothing():
    """The identity, to the bit."""
    net = network()
    before = {name: parameter.clone() for name, parameter in net.named_parameters()}
    l1(0.0)(net, 1.0)
    assert all(torch.equal(parameter, before[name]) for name, parameter in net.named_parameters())


def test_it_is_the_proximal_step():
    """The result minimises |u - w|^2 / 2 + lr * strength * |u|: no u on a fine grid does better."""
    layer = nn.Linear(5, 1, bias=False)
    weights = torch.tensor([[-0.9, -0.1, 0.05, 0.3, 1.2]])
    layer.weight.data = weights.clone()
    l1(0.4)(layer, 0.5)
    grid = torch.linspace(-2, 2, 4001)[:, None]

    def cost(u):
        return (u - weights).square() / 2 + 0.2 * u.abs()

    assert (cost(layer.weight.detach()) <= cost(grid).min(0).values + 1e-7).all()


def test_it_minimises_the_penalised_loss():
    """Gradient steps on (w - a)^2 / 2 with this after each end at the soft threshold of a: exact zeros included."""
    layer, goal = nn.Linear(3, 1, bias=False), torch.tensor([[2.0, 0.3, -1.0]])
    step = l1(0.5)
    for _ in range(300):
        with torch.no_grad():
            layer.weight -= 0.1 * (layer.weight - goal)
        step(layer, 0.1)
    torch.testing.assert_close(layer.weight.detach(), torch.tensor([[1.5, 0.0, -0.5]]), rtol=0, atol=1e-5)
    assert layer.weight[0, 1] == 0


def test_zero_share():
    """5 zeros of 72 + 12 weights; zeros in biases and norms don't count; no layers, no zeros."""
    net = network()
    with torch.no_grad():
        net[0].weight.view(-1)[:3] = 0
        net[3].weight.view(-1)[:2] = 0
        net[0].bias.zero_()
    assert zero_share(net) == pytest.approx(5 / 84)
    assert zero_share(nn.ReLU()) == 0


def test_a_negative_strength_is_refused():
    """The value is shown."""
    with pytest.raises(ValueError, match="-0.1"):
        l1(-0.1)
