"""The choice of validation pictures."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strop.data.split import choose_validation
from strop.errors import UserError

fractions = st.floats(0.001, 0.999)
distinct = st.lists(st.integers(0, 3), min_size=1, max_size=80)
copies = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=60)


def share(n: int, fraction: float) -> int:
    return min(max(round(fraction * n), 1), n - 1)


@settings(max_examples=60, deadline=None)
@given(distinct, fractions)
def test_each_class_gives_its_rounded_share(labels, fraction):
    """Without copies the number is exact: at least one, never the whole class."""
    chosen = choose_validation([f"{i:032x}" for i in range(len(labels))], labels, fraction)
    for label, n in Counter(labels).items():
        assert chosen[np.array(labels) == label].sum() == share(n, fraction)


@settings(max_examples=60, deadline=None)
@given(copies, fractions)
def test_copies_stay_together_and_no_class_goes_wholly(pictures, fraction):
    hashes, labels = [f"{content:032x}" for content, _ in pictures], [label for _, label in pictures]
    chosen = choose_validation(hashes, labels, fraction)
    for content in set(hashes):
        assert len({bool(c) for c, h in zip(chosen, hashes, strict=True) if h == content}) == 1
    for label in set(labels):
        assert not chosen[np.array(labels) == label].all()


@settings(max_examples=30, deadline=None)
@given(copies, st.randoms())
def test_the_order_of_the_files_does_not_matter(pictures, random):
    shuffled = random.sample(pictures, len(pictures))

    def chosen_of(rows):
        mask = choose_validation([f"{c:032x}" for c, _ in rows], [label for _, label in rows], 0.3)
        return {rows[i][0] for i in np.flatnonzero(mask)}

    assert chosen_of(pictures) == chosen_of(shuffled)


def test_one_percent_more_files_move_few():
    """5 % of 2,000 are 100, of 2,020 are 101; only as many change sides as newcomers rank among the lowest."""
    hashes = [f"{i * 7919:032x}" for i in range(2020)]
    before = choose_validation(hashes[:2000], [0] * 2000, 0.05)
    after = choose_validation(hashes, [0] * 2020, 0.05)
    assert before.sum() == 100 and after.sum() == 101
    assert (before != after[:2000]).sum() <= 5  # one of the 20 is expected there


def test_seeds_choose_differently_and_zero_chooses_nothing():
    hashes, labels = [f"{i:032x}" for i in range(500)], [0] * 500
    first, second = (choose_validation(hashes, labels, 0.2, seed) for seed in (0, 1))
    assert 0 < (first & second).sum() < 60  # 20 are expected by chance
    assert not choose_validation(hashes, labels, 0).any()


def test_a_class_of_one_picture_or_one_content_keeps_it_for_training():
    assert choose_validation(["a", "b", "b", "c", "d"], [0, 1, 1, 2, 2], 0.5).tolist()[:3] == [False] * 3


def test_a_group_of_copies_larger_than_the_share_is_taken_when_nothing_smaller_is_there():
    """Two groups of three copies: one of them must go, or the class would have no validation picture."""
    assert choose_validation(["a"] * 3 + ["b"] * 3, [0] * 6, 0.1).sum() == 3


@pytest.mark.parametrize("fraction", [-0.1, 1, 5])
def test_fraction_out_of_range_says_what_to_write(fraction):
    with pytest.raises(UserError, match="Write 0% to 99%"):
        choose_validation(["a"], [0], fraction)
