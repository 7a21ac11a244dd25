"""Regularisers over coupled channels, and L2: by hand, exact zeros that are silent, what is left alone, and when."""

import copy
import math

import pytest
import torch
from torch import nn

from strop.models.groups import channel_groups, remove
from strop.sparsify import regularisers
from strop.sparsify.channels import find_channels

EXAMPLE = torch.zeros(2, 1, 6, 6)


class Residual(nn.Module):
    """Two convolutions whose channels a shortcut couples, an inner one between, and a head."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.inner, self.back = nn.Conv2d(6, 4, 3, padding=1), nn.Conv2d(4, 6, 1)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.norm(self.stem(x)).relu()
        return self.head((x + self.back(self.inner(x).relu())).mean((2, 3)))


def network(seed=0):
    torch.manual_seed(seed)
    net = Residual()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return net.eval()


def begun(name, net, **options):
    part = regularisers.get(name)(**options)
    if hasattr(part, "begin"):
        part.begin(net, EXAMPLE)
    return part


def vector(net, c):
    """All weights of residual channel c: both makers with bias, the norm, and both readers."""
    return torch.cat([
        net.stem.weight[c].flatten(), net.norm.weight[c : c + 1], net.norm.bias[c : c + 1],
        net.inner.weight[:, c].flatten(), net.back.weight[c].flatten(), net.back.bias[c : c + 1],
        net.head.weight[:, c],
    ])  # fmt: skip


def test_what_belongs_to_a_channel():
    """Through the shortcut: 9 + 2 + 4 * 9 + 4 + 1 + 3 weights for each of six; inside 54 + 1 + 6 for each of four."""
    net = network()
    residual, inner = find_channels(net, EXAMPLE)
    assert (residual.width, residual.sizes.tolist()) == (6, [55.0] * 6)
    assert (inner.width, inner.sizes.tolist()) == (4, [61.0] * 4)
    norms = torch.stack([vector(net, c).norm() for c in range(6)])
    torch.testing.assert_close(residual.norms(), norms)
    torch.testing.assert_close(
        residual.magnitudes()[2], net.stem.weight[2].abs().sum() + net.back.weight[2].abs().sum()
    )


def test_group_lasso_by_hand():
    """v <- v max(1 - lr strength sqrt(55) / ||v||, 0) over all that is coupled, first group first."""
    net = network()
    inner = copy.deepcopy(net).inner
    before = [vector(net, c).clone() for c in range(6)]
    limit = before[3].norm().item() / math.sqrt(55)
    begun("group-lasso", net, strength=limit)(net, 1.0)
    for c, old in enumerate(before):
        kept = max(0.0, 1 - limit * math.sqrt(55) / old.norm().item())
        torch.testing.assert_close(net.stem.weight[c].flatten(), kept * old[:9], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(net.norm.bias[c], kept * old[10], rtol=1e-4, atol=1e-5)
    assert not torch.equal(net.inner.bias, inner.bias), "inner channels are groups of their own"


def test_zero_channels_are_silent_and_can_be_removed():
    """A strength that takes two channels whole: every tensor of them is 0, and without them all stays the same."""
    net = network()
    net.stem.weight.data[[1, 4]] *= 0.01
    for layer in (net.norm.weight, net.norm.bias, net.back.weight, net.back.bias):
        layer.data[[1, 4]] *= 0.01
    net.inner.weight.data[:, [1, 4]] *= 0.01
    net.head.weight.data[:, [1, 4]] *= 0.01
    begun("group-lasso", net, strength=0.1)(net, 1.0)
    assert [c for c in range(6) if not vector(net, c).any()] == [1, 4]
    pictures = torch.randn(5, 1, 6, 6)
    cut = copy.deepcopy(net)
    groups = channel_groups(cut, EXAMPLE)
    remove(cut, groups, {groups[0].name: [1, 4]})
    assert cut.stem.out_channels == 4
    torch.testing.assert_close(cut(pictures), net(pictures), rtol=0, atol=1e-5)


def test_growing_by_hand():
    """Of six channels the two with the smallest 1-norm of what makes them shrink by 1 / (1 + lr s), s in steps."""
    net = network()
    sizes = torch.stack([net.stem.weight[c].abs().sum() + net.back.weight[c].abs().sum() for c in range(6)])
    least = set(sizes.argsort()[:2].tolist())
    part = begun("growing", net, share=0.4, step=0.5, every=10, ceiling=1.2)
    assert [part.at(update) for update in (0, 9, 10, 20, 29, 30, 1000)] == [0, 0, 0.5, 1.0, 1.0, 1.2, 1.2]
    before = [vector(net, c).clone() for c in range(6)]
    part(net, 0.1, 9)
    assert all(torch.equal(vector(net, c), before[c]) for c in range(6))
    part(net, 0.1, 25)
    inner = 1 / (1 + 0.1)  # one of the inner channels is chosen too, and its weights of `inner` and `back` shrink again
    for c in range(6):
        factor = 1 / (1 + 0.1 * 1.0) if c in least else 1.0
        torch.testing.assert_close(net.stem.weight[c].flatten(), factor * before[c][:9])
        torch.testing.assert_close(net.head.weight[:, c], factor * before[c][-3:])
        rows = net.inner.weight[:, c].flatten() / before[c][11:47]
        assert {round(value, 4) for value in rows.tolist()} == {round(factor, 4), round(factor * inner, 4)}


def test_what_was_chosen_depends_on_the_first_weights_only():
    """A resumed training begins with the same weights, and so with the same choice, whatever they have become."""
    net, part = network(), None
    part = begun("growing", net, step=1.0, every=1)
    resumed = begun("growing", network(), step=1.0, every=1)
    chosen = [mask for _, mask in part._chosen]
    for parameter in net.parameters():
        parameter.data.mul_(torch.rand_like(parameter))
    assert all(torch.equal(a, b) for a, (_, b) in zip(chosen, resumed._chosen, strict=True))


def test_l2_by_hand():
    """w / (1 + lr strength): it minimises |u - w|^2 / 2 + lr strength |u|^2 / 2; biases and norms stay."""
    net = network()
    before = {name: parameter.clone() for name, parameter in net.named_parameters()}
    begun("l2", net, strength=0.5)(net, 0.2)
    for name, parameter in net.named_parameters():
        is_weight = name.endswith("weight") and not name.startswith("norm")
        torch.testing.assert_close(parameter, before[name] / 1.1 if is_weight else before[name])


@pytest.mark.parametrize("name", regularisers.names())
def test_nothing_moves_at_rate_zero_or_frozen(name):
    """To the bit; what is frozen stays at any rate."""
    net = network()
    before = {key: parameter.clone() for key, parameter in net.named_parameters()}
    begun(name, net)(net, 0.0, 1000)
    assert all(torch.equal(parameter, before[key]) for key, parameter in net.named_parameters())
    net.requires_grad_(False)
    begun(name, net)(net, 1.0, 1000)
    assert all(torch.equal(parameter, before[key]) for key, parameter in net.named_parameters())


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("l2", {"strength": -1.0}, r"strength is -1\.0"),
        ("group-lasso", {"over": "rows"}, "over is 'rows'. Write channels or filters."),
        ("growing", {"share": 1.0}, r"share is 1\.0; it must be between 0 and 1"),
        ("growing", {"every": 0}, "every is 0; it must be above 0"),
    ],
)
def test_options_out_of_range(name, options, said):
    """The value is shown."""
    with pytest.raises(ValueError, match=said):
        regularisers.get(name)(**options)


def test_without_a_beginning():
    """A group lasso that does not know the network says so, rather than doing nothing."""
    with pytest.raises(RuntimeError, match="begin"):
        regularisers.get("group-lasso")()(network(), 0.1)
