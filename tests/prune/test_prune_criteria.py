"""What a channel is worth: by hand, and under permutation and scale."""

import pytest
import torch

from strop.prune.criteria import criteria
from strop.prune.prune import weakest


def rows(seed=0, width=6):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(width, n, generator=generator) for n in (9, 18, 5)]


def rank(name, weights, seed=0, **options):
    return criteria.get(name)(weights, torch.Generator().manual_seed(seed), **options)


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
