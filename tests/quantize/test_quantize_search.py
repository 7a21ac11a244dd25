"""Which layers get how many bits: on made-up costs, where the best answer is known."""

import pytest

from strop.quantize.search import cheap_first, give_back, hurtful_first, least, lifts

COSTS = [{"layer": name, "loss_rise": rise} for name, rise in (("a", 0.1), ("b", 0.5), ("c", -0.02), ("d", 0.2))]


@pytest.mark.parametrize("answer", [0, 1, 5, 9, 10])
def test_least_is_the_first_that_holds(answer):
    """On a falling sequence; few values are asked for."""
    asked = []

    def value(k):
        asked.append(k)
        return 10 - k

    assert least(value, 10, 10 - answer) == answer
    assert len(asked) <= 6


def test_none_where_the_last_does_not_hold():
    """Even with everything lifted it is over the limit."""
    assert least(lambda k: 10 - k, 10, -1) is None
    assert least(lambda k: 1, 0, 0.5) is None


def test_what_is_lifted_first():
    """From 4 bits the layers that hurt most go to 8, then to float; from 8 to float. One stays quantized."""
    order = hurtful_first(COSTS)
    assert order == ["b", "d", "a", "c"]
    assert lifts(order, 8) == [("b", 32), ("d", 32), ("a", 32)]
    assert lifts(order[:2], 4) == [("b", 8), ("d", 8), ("b", 32)]


def test_cheapest_first_counts_loss_a_byte():
    """d costs twice as much as a but saves four times the bytes."""
    assert cheap_first(COSTS, {"a": 100, "b": 1000, "c": 10, "d": 400}) == ["c", "b", "d", "a"]


def test_bytes_are_given_back_to_the_dearest():
    """40 bytes of room: the dearest that fit get their bits back, and never more than there is room for."""
    saved = {"a": 10, "b": 100, "c": 35, "d": 5}
    assert give_back(["a", "b", "c", "d"], saved, 40) == ["a", "b"]
    assert give_back(["a", "b", "c", "d"], saved, 39) == ["b", "c"]
    assert give_back(["a", "b"], saved, 0) == ["a", "b"]
