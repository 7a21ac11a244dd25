"""Weights that quantize well: the formulas by hand, zero at the target, what is left alone, and what it is good for."""

import pytest
import torch
from torch import nn

from strop.measure.weights import describe_tensor
from strop.quantize.constraints import constraints
from strop.quantize.constraints.kurtosis import kurtosis


def network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 3))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn_like(parameter))
        net[0].weight[0, 0, 0, 0] = 30.0
    return net


def test_clip_by_hand():
    """Mean 1 and sd 3 of (0, 0, ..., 0, 10): what is beyond 1 + 2 * 3 becomes 7, the rest stays to the bit."""
    layer = nn.Linear(10, 1, bias=False)
    layer.weight.data = torch.tensor([[0.0] * 9 + [10.0]])
    constraints.get("clip")(sd=2.0)(layer, 0.1)
    assert layer.weight.tolist() == [[0.0] * 9 + [7.0]]


def test_kurtosis_by_hand():
    """(-1, 1) has 1; (0, 0, 0, 0, 5) has 3.25; strength * mean of the squared distances from the target."""
    coins, spike = nn.Linear(2, 1, bias=False), nn.Linear(5, 1, bias=False)
    coins.weight.data, spike.weight.data = torch.tensor([[-1.0, 1.0]]), torch.tensor([[0.0, 0, 0, 0, 5.0]])
    # m = 1, s^2 = (4 * 1 + 16) / 5 = 4, fourth moment (4 * 1 + 256) / 5 = 52, and 52 / 16 = 3.25
    assert kurtosis(spike.weight).item() == pytest.approx(3.25)
    found = constraints.get("kurtosis")(target=2.0, strength=3.0).penalty(nn.Sequential(coins, spike))
    assert found.item() == pytest.approx(3 * ((1 - 2) ** 2 + (3.25 - 2) ** 2) / 2)


def test_published_targets():
    """1.8 is the kurtosis of a uniform spread and 3 that of a Gaussian (arXiv:2002.07686, section 3)."""
    generator = torch.Generator().manual_seed(0)
    uniform, gauss = torch.rand(10**6, generator=generator), torch.randn(10**6, generator=generator)
    assert kurtosis(uniform).item() == pytest.approx(1.8, abs=0.01)
    assert kurtosis(gauss).item() == pytest.approx(3.0, abs=0.03)


def test_zero_at_the_target():
    """No penalty and no pull there; a shift or a scale of the weights changes nothing."""
    layer = nn.Linear(40, 20)
    target = kurtosis(layer.weight).item()
    penalty = constraints.get("kurtosis")(target=target).penalty(layer)
    penalty.backward()
    assert penalty.item() == pytest.approx(0, abs=1e-9) and layer.weight.grad.abs().max() < 1e-4
    assert kurtosis(3 * layer.weight + 5).item() == pytest.approx(target, rel=1e-3)


def test_finite_at_extremes():
    """Weights that are all equal, and one that is far off."""
    for weights in (torch.full((3, 4), 2.0), torch.tensor([[1e4] + [0.0] * 9])):
        layer = nn.Linear(*weights.shape[::-1])
        layer.weight.data = weights
        penalty = constraints.get("kurtosis")().penalty(layer)
        penalty.backward()
        assert torch.isfinite(penalty) and torch.isfinite(layer.weight.grad).all()


@pytest.mark.parametrize("name", constraints.names())
def test_what_is_left_alone(name):
    """Biases, norms and what is frozen; a network without layers has nothing to constrain."""
    net = network()
    net[3].weight.requires_grad_(False)
    before = {key: parameter.clone() for key, parameter in net.named_parameters()}
    constraint = constraints.get(name)()
    constraint(net, 1.0, 0)
    if hasattr(constraint, "penalty"):
        constraint.penalty(net).backward()
        assert [key for key, p in net.named_parameters() if p.grad is not None] == ["0.weight"]
        assert constraint.penalty(nn.ReLU()).item() == 0
    else:
        assert [key for key, p in net.named_parameters() if not torch.equal(p, before[key])] == ["0.weight"]


def test_descent_and_clipping_keep_more_bits():
    """Both make int8 keep more of a layer with an outlier: the promise they are there for."""
    bits = {}
    for name in ("none", *constraints.names()):
        layer = network()[0]
        if name == "clip":
            constraints.get("clip")(sd=3.0)(layer, 0.1)
        elif name == "kurtosis":
            for _ in range(300):
                layer.weight.grad = None
                constraints.get("kurtosis")().penalty(layer).backward()
                layer.weight.data -= 0.05 * layer.weight.grad
        bits[name] = describe_tensor(layer.weight)["int8_bits"]
    assert bits["clip"] > bits["none"] + 0.5 and bits["kurtosis"] > bits["none"] + 0.5


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("clip", {"sd": 0.5}, r"sd is 0\.5; it must be at least 1"),
        ("kurtosis", {"target": 1.0}, r"target is 1\.0; it must be above 1"),
        ("kurtosis", {"strength": -1.0}, r"strength is -1\.0"),
    ],
)
def test_options_out_of_range(name, options, said):
    """The value is shown."""
    with pytest.raises(ValueError, match=said):
        constraints.get(name)(**options)
