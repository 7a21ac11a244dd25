"""What a channel is worth: by hand, and under permutation and scale."""

import pytest
import torch
from torch import nn

from strop.data.load import Batch
from strop.errors import UserError
from strop.models import build
from strop.models.groups import channel_groups
from strop.prune.channels import Channels, look_at, loss_gradients
from strop.prune.criteria import criteria
from strop.prune.prune import rank as rank_groups
from strop.prune.prune import weakest


def rows(seed=0, width=6):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(width, n, generator=generator) for n in (9, 18, 5)]


def rank(name, weights, seed=0, **options):
    channels = Channels("conv", weights[:1], weights[1:], [], [])
    return criteria.get(name)(channels, torch.Generator().manual_seed(seed), **options)


WEIGHTS = [torch.tensor([[3.0, 4.0], [0.0, 0.0], [5.0, 0.0]]), torch.tensor([[1.0], [2.0], [-3.0]])]


def test_group_norm_by_hand():
    """Norms (5, 0, 5) and (1, 2, 3), each over its mean 10/3 and 2, then the mean of both layers."""
    expected = [(1.5 + 0.5) / 2, (0 + 1) / 2, (1.5 + 1.5) / 2]
    torch.testing.assert_close(rank("group-norm", WEIGHTS), torch.tensor(expected))


def test_magnitude_by_hand():
    """L1 norms (7, 0, 5) of the layer that makes the channels, over their mean 4; the reader does not count."""
    torch.testing.assert_close(rank("magnitude", WEIGHTS), torch.tensor([7 / 4, 0, 5 / 4]))
    torch.testing.assert_close(rank("magnitude", WEIGHTS, p=2.0), torch.tensor([1.5, 0, 1.5]))


@pytest.mark.parametrize("name", ["group-norm", "magnitude"])
def test_permuting_the_channels_permutes_the_importance(name):
    """A channel's worth does not depend on its place."""
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    expected = rank(name, rows())[order]
    torch.testing.assert_close(rank(name, [weights[order] for weights in rows()]), expected)


@pytest.mark.parametrize("name", ["group-norm", "magnitude"])
def test_the_scale_of_a_layer_does_not_matter(name):
    """One layer multiplied by 1000 decides no more than before."""
    weights = rows()
    expected = rank(name, weights)
    for layer in range(3):
        scaled = [w * 1000 if i == layer else w for i, w in enumerate(weights)]
        torch.testing.assert_close(rank(name, scaled), expected)


@pytest.mark.parametrize("name", ["group-norm", "magnitude"])
def test_a_dead_channel_is_worth_nothing(name):
    """Zeros everywhere give 0, the least; a layer that is all zero gives no NaN."""
    weights = rows()
    for layer in weights:
        layer[2] = 0
    found = rank(name, weights)
    assert found[2] == 0 and found.argmin() == 2
    assert torch.isfinite(rank(name, [torch.zeros(4, 3), torch.ones(4, 2)])).all()


def test_random_is_drawn_from_the_seed():
    """The same seed, the same ranking; another seed, another; the weights don't matter."""
    first = rank("random", rows(0))
    assert torch.equal(first, rank("random", rows(1))) and not torch.equal(first, rank("random", rows(0), seed=1))
    assert first.shape == (6,) and (first >= 0).all() and (first < 1).all()


def test_bn_gamma_by_hand():
    """The mean size of the scales; channels without a batch norm are refused, with what to write."""
    scales = [torch.tensor([1.0, -4.0, 0.0]), torch.tensor([3.0, 2.0, 0.0])]
    channels = Channels("conv", WEIGHTS[:1], WEIGHTS[1:], scales, [])
    assert criteria.get("bn-gamma")(channels, None).tolist() == [2.0, 3.0, 0.0]
    with pytest.raises(UserError, match="channels of conv pass no batch norm. Write --criterion group-norm"):
        rank("bn-gamma", WEIGHTS)


def test_taylor_by_hand():
    """(w . g)**2 over all that reads the channel: (1*2 + 2*0.5)**2 and (-1*3 + 4*1)**2."""
    readers = [torch.tensor([[1.0], [-1.0]]), torch.tensor([[2.0], [4.0]])]
    gradients = [torch.tensor([[2.0], [3.0]]), torch.tensor([[0.5], [1.0]])]
    channels = Channels("conv", [torch.ones(2, 3)], readers, [], gradients)
    assert criteria.get("taylor")(channels, None).tolist() == [9.0, 1.0]


class Batches:
    """Two batches of a set, as a loader gives them."""

    def __init__(self, shape, classes):
        generator = torch.Generator().manual_seed(3)
        self.images = torch.randn(2, 6, *shape, generator=generator)
        self.targets = torch.randint(classes, (2, 6), generator=generator)

    def epoch(self, number):
        for images, targets in zip(self.images, self.targets, strict=True):
            yield Batch(images, targets, torch.arange(len(targets)))


@pytest.mark.parametrize("name", ["cnn3", "resnet20"])
def test_taylor_is_the_derivative_by_a_gate_on_the_channel(name):
    """A factor on what every reader of a group's channels reads has the derivative sum(w dL/dw), with autograd's word.

    The squares are averaged over batches; frozen weights count too and stay frozen.
    """
    torch.manual_seed(0)
    net = build(name, num_classes=4, in_chans=1, input_size=32).eval()
    net.requires_grad_(False)
    batches = Batches((1, 32, 32), 4)
    groups = channel_groups(net, batches.images[0])
    found = rank_groups(net, groups, criteria.get("taylor"), loss_gradients(net, batches, net=net))
    assert not any(parameter.requires_grad for parameter in net.parameters())
    for group in groups[:3]:
        squares = []
        for images, targets, _ in batches.epoch(0):
            gate = torch.ones(group.width, requires_grad=True)
            factors = {}
            for member in group.members:
                for tensor, dim in member.tensors if member.side == "in" else ():
                    weight = net.get_parameter(tensor)
                    rows = torch.ones(weight.shape[dim]).index_copy(
                        0, member.index.flatten(), gate.repeat_interleave(member.index.shape[1])
                    )
                    factors[tensor] = weight * rows.view([-1 if d == dim else 1 for d in range(weight.ndim)])
            logits = torch.func.functional_call(net, factors, images)
            (slope,) = torch.autograd.grad(nn.functional.cross_entropy(logits, targets), gate)
            squares.append(slope.double().square())
        torch.testing.assert_close(torch.from_numpy(found[group.name]), sum(squares) / 2, rtol=1e-3, atol=1e-9)


def test_what_makes_a_channel_says_nothing_before_a_batch_norm():
    """Why taylor looks at the readers: in training mode sum(w dL/dw) of a filter before batch norm is zero."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, eps=1e-12), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    loss = nn.functional.cross_entropy(net.train()(torch.randn(16, 1, 8, 8)), torch.arange(16) % 3)
    loss.backward()
    made = (net[0].weight * net[0].weight.grad).flatten(1).sum(1)
    read = (net[4].weight * net[4].weight.grad).view(3, 4, 36).sum((0, 2))
    assert made.abs().max() < 1e-6 < 1e-3 < read.abs().max()


def test_scales_are_found():
    """The batch norms that a group's channels pass, and only those."""
    net = build("resnet20", num_classes=4, in_chans=1, input_size=32)
    for number, module in enumerate(m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.constant_(module.weight, number)
    norms = {name: m for name, m in net.named_modules() if isinstance(m, nn.BatchNorm2d)}
    for group in channel_groups(net, torch.zeros(2, 1, 32, 32)):
        expected = {norms[m.name].weight[0].item() for m in group.members if m.name in norms}
        assert {scales[0].item() for scales in look_at(net, group).scales} == expected != set()


@pytest.mark.parametrize(
    ("importance", "count", "expected"),
    [
        ([0.3, 0.1, 0.2], 2, [1, 2]),
        ([0.3, 0.1, 0.2], 0, []),
        ([1.0, 1.0, 1.0, 1.0], 2, [2, 3]),
        ([0.5, 0.2, 0.2, 0.2, 0.1], 3, [2, 3, 4]),
    ],
)
def test_weakest(importance, count, expected):
    """The least important, in order of place; of equal ones the later go first."""
    assert weakest(importance, count) == expected
