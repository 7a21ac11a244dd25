"""A part of the classes."""

import numpy as np
import pytest

from strop.data import open_data, open_source
from strop.data.classes import read_classes, select_classes
from strop.errors import UserError


def test_pictures_of_other_classes_are_gone_and_labels_count_anew():
    """The order is the source's, whatever the order of the list; pixels and names stay those of the source."""
    full = open_source("fashion-mini")
    part = select_classes(full, ["bag", "coat", "trouser"])
    assert part.classes == ("trouser", "coat", "bag")
    for name, split in part.splits.items():
        of_bag = np.flatnonzero(full.splits[name].labels == full.classes.index("bag"))
        mine = np.flatnonzero(split.labels == 2)
        assert [split.names[i] for i in mine] == [full.splits[name].names[i] for i in of_bag]
        assert np.array_equal(split.pixels(mine[3]), full.splits[name].pixels(of_bag[3]))
        assert np.bincount(split.labels).tolist() == [len(of_bag)] * 3


def test_unknown_names_are_listed_with_suggestions():
    """All at once, each with its nearest name."""
    with pytest.raises(UserError) as caught:
        select_classes(open_source("fashion-mini"), ["bags", "coat", "hat"])
    text = str(caught.value)
    assert "'bags' is no class of 'fashion-mini'. Did you mean 'bag'?" in text and "'hat' is no class" in text


def test_a_file_of_names(tmp_path):
    """A name a line; blank lines, blanks and a mark in front do not count."""
    (tmp_path / "c.txt").write_bytes("\ufeffbag\r\n\n  coat \n".encode())
    assert read_classes(str(tmp_path / "c.txt")) == ["bag", "coat"]
    data = open_data("fashion-mini", classes=str(tmp_path / "c.txt"))
    assert data.classes == ("coat", "bag") and data.choice["classes"] == ["coat", "bag"]
    assert data.fingerprint != open_data("fashion-mini").fingerprint
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 950, "val": 50, "test": 200}


@pytest.mark.parametrize(
    "value, message",
    [
        (["bag", "bag"], "'bag': named twice"),
        (["bag"], "1 classes are too few"),
        ([1, 2], "1 is not text"),
        ("nowhere.txt", "can't be read"),
    ],
)
def test_other_lists_are_refused(value, message):
    """What is wrong with the list is said before any picture is looked at."""
    with pytest.raises(UserError, match=message):
        open_data("fashion-mini", classes=value)
