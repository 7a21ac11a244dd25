"""Everything random is a pure function."""

import itertools

import numpy as np
import pytest

from strop.data.chance import key, permutation, uniforms


def splitmix64(state: int) -> int:
    """The published algorithm in Python integers, to check the vectorised one against."""
    mask = 2**64 - 1
    z = (state + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def test_reference_splitmix64_gives_the_published_first_output_for_seed_zero():
    """0xE220A8397B1DCDAF is the first output of splitmix64 seeded with 0 (Vigna's reference code)."""
    assert splitmix64(0) == 0xE220A8397B1DCDAF


def test_uniforms_follow_their_formula():
    numbers = uniforms(12345, np.array([7, 99]), 3)
    mask = 2**64 - 1
    for row, index in enumerate([7, 99]):
        for column in range(3):
            inner = splitmix64((splitmix64(12345) + index) & mask)
            expected = (splitmix64((inner + column) & mask) >> 11) / 2**53
            assert numbers[row, column] == expected


def test_uniforms_do_not_depend_on_the_batch():
    whole = uniforms(5, np.arange(100), 4)
    picked = np.array([63, 2, 63, 99])
    assert np.array_equal(uniforms(5, picked, 4), whole[picked])
    assert np.array_equal(uniforms(5, picked, 2), whole[picked, :2])


def test_uniforms_are_uniform_and_uncorrelated():
    """Mean 1/2 and variance 1/12 within five standard errors; columns, neighbours and keys unrelated."""
    n = 20_000
    a = uniforms(key("a"), np.arange(n), 2)
    b = uniforms(key("b"), np.arange(n), 1)[:, 0]
    assert a.min() >= 0 and a.max() < 1
    assert abs(a.mean() - 0.5) < 5 * (1 / 12 / (2 * n)) ** 0.5
    assert abs(a.var() - 1 / 12) < 0.005
    for left, right in itertools.combinations([a[:-1, 0], a[1:, 0], a[:-1, 1], b[:-1]], 2):
        assert abs(np.corrcoef(left, right)[0, 1]) < 5 / n**0.5


def test_permutation_is_one_and_differs_by_key():
    order = permutation(1000, key(0, "order", 1))
    assert sorted(order.tolist()) == list(range(1000)) and order.dtype == np.int64
    assert not np.array_equal(order, permutation(1000, key(0, "order", 2)))
    assert np.array_equal(order, permutation(1000, key(0, "order", 1)))
    assert permutation(0, 1).tolist() == [] and permutation(1, 1).tolist() == [0]


def test_every_picture_visits_every_place_about_equally_often():
    counts = np.zeros((5, 5))
    for k in range(2000):
        counts[np.arange(5), permutation(5, key("places", k))] += 1
    assert (abs(counts - 400) < 5 * (2000 * 0.2 * 0.8) ** 0.5).all()


def test_key_tells_parts_and_types_apart():
    keys = [key(1, 2), key(12), key("1", 2), key("12"), key(1, "2"), key(2, 1), key(None), key(True), key(1.0), key(1)]
    assert len(set(keys)) == len(keys)
    assert all(0 <= k < 2**63 for k in keys)
    assert key(np.int64(3)) == key(3)
    with pytest.raises(TypeError):
        key([1])
