"""Names in one blob answer like a list of names."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from strop.data.packed import Members, PackedNames

texts = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8), max_size=40)


@settings(max_examples=60, deadline=None)
@given(texts, st.data())
def test_a_packed_list_is_the_list(names, data):
    """Length, items from both ends, slices, equality, joining and taking are those of a list."""
    packed = PackedNames(names)
    assert list(packed) == names and packed == names and len(packed) == len(names)
    assert [packed[i - len(names)] for i in range(len(names))] == names
    assert packed[1::2] == names[1::2] and packed != [*names, "more"]
    assert PackedNames.join([packed, PackedNames(), packed]) == names * 2
    indices = data.draw(st.lists(st.integers(0, len(names) - 1))) if names else []
    assert packed.take(indices) == [names[i] for i in indices]


@settings(max_examples=60, deadline=None)
@given(texts)
def test_the_order_is_that_of_sorted(names):
    """UTF-8 bytes sort as code points do; a sorted list needs no order."""
    order = PackedNames(names).order()
    assert (names if order is None else [names[i] for i in order]) == sorted(names)
    assert (order is None) == (names == sorted(names))


def test_names_that_are_not_utf8_survive():
    """What the file system gives as a surrogate goes back to the same byte."""
    assert PackedNames(["a\udcff.png"])[0] == "a\udcff.png"


def test_members_are_pairs():
    """The splits of a data set read like the lists of (part, index) that they once were."""
    members = Members("train", np.array([4, 7]))
    assert list(members) == [("train", 4), ("train", 7)] == members and members[1] == ("train", 7)
    assert members != Members("val", np.array([4, 7])) and Members("test", np.array([], int)) == []
    assert members == Members("train", np.array([4, 7])) and set(members) == {("train", 4), ("train", 7)}
