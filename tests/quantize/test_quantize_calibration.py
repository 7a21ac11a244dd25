"""Which pictures calibrate: the same number of each class, always the same ones."""

import numpy as np
import pytest

from strop.quantize.calibration import choose_balanced

SORTED = np.repeat(np.arange(10), 100)  # as files come from folders: class after class


def counts(labels, chosen):
    return np.bincount(labels[chosen], minlength=labels.max() + 1).tolist()


@pytest.mark.parametrize("count", [10, 50, 512, 1000])
def test_the_same_number_of_each_class(count):
    """count // K of each, sorted, no picture twice."""
    chosen = choose_balanced(SORTED, count)
    assert counts(SORTED, chosen) == [count // 10] * 10
    assert (np.diff(chosen) > 0).all() and chosen.dtype == np.int64


def test_sorted_labels_do_not_give_one_class():
    """The first pictures of a folder would be of one class only; here the order of the files does not matter."""
    naive = SORTED[:100]
    assert len(set(naive)) == 1
    assert len(set(SORTED[choose_balanced(SORTED, 100)])) == 10
    shuffled = np.random.default_rng(0).permutation(SORTED)
    assert counts(shuffled, choose_balanced(shuffled, 100)) == [10] * 10


def test_members_are_not_the_first_of_their_class():
    """Within a class they are spread: frames of one film lie next to each other too."""
    places = choose_balanced(SORTED, 100) % 100
    assert places.max() > 60 and len(set(places)) > 50


def test_small_classes_give_all_they_have():
    """A class with fewer pictures than its share gives all; the others do not make up for it."""
    labels = np.array([0] * 50 + [1] * 3 + [2] * 50)
    chosen = choose_balanced(labels, 30)
    assert counts(labels, chosen) == [10, 3, 10]
    assert set(np.flatnonzero(labels == 1)) <= set(chosen)


def test_at_least_one_of_each():
    """Even when fewer pictures than classes are asked for."""
    assert counts(SORTED, choose_balanced(SORTED, 3)) == [1] * 10


def test_a_function_of_the_seed():
    """Twice the same; another seed, other pictures; a class's choice does not depend on the other classes."""
    first = choose_balanced(SORTED, 100)
    assert np.array_equal(first, choose_balanced(SORTED, 100))
    assert not np.array_equal(first, choose_balanced(SORTED, 100, seed=1))
    alone = choose_balanced(SORTED[:200], 20)
    assert np.array_equal(alone, first[first < 200])
