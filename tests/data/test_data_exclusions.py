"""Pictures that a list leaves out are in no split, counted, and written down; a list that does not fit is refused."""

import logging
import shutil

import numpy as np
import pytest
from PIL import Image

from strop.audit import audit, write_exclusions
from strop.data.dataset import open_again, open_data
from strop.errors import UserError


@pytest.fixture
def sets(tmp_path):
    """`clean`: train and test of two classes; `faulty`: with a duplicate, a leak, and a broken file in each split."""
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 4)):
        for name in ("cat", "dog"):
            folder = tmp_path / "clean" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{number:02d}.png")
    shutil.copytree(tmp_path / "clean", tmp_path / "faulty")
    faulty = tmp_path / "faulty"
    shutil.copy(faulty / "train/cat/00.png", faulty / "train/cat/copy.png")
    shutil.copy(faulty / "test/dog/01.png", faulty / "train/dog/leak.png")
    (faulty / "train/dog/empty.png").write_bytes(b"")
    (faulty / "test/cat/page.jpg").write_text("<html>404</html>")
    return tmp_path


def test_what_the_audit_lists_is_in_no_split(sets, caplog):
    """The audit's own list makes the faulty set the clean one, its broken test picture too; reasons are kept."""
    write_exclusions(audit(str(sets / "faulty")), sets / "out.txt")
    with caplog.at_level(logging.INFO, "strop"):
        data = open_data(str(sets / "faulty"), exclude=sets / "out.txt")
    clean = open_data(str(sets / "clean"))
    assert data.fingerprint == clean.fingerprint and data.unreadable == {}
    assert {split: list(data.names(split)) for split in data.splits} == {
        split: list(clean.names(split)) for split in clean.splits
    }
    assert set(data.describe()["excluded"]) == {
        "train/cat/copy.png", "train/dog/leak.png", "train/dog/empty.png", "test/cat/page.jpg",
    }  # fmt: skip
    assert data.excluded["train/dog/empty.png"] == "0 bytes"
    assert "out.txt: 4 (train 3, test 1)" in caplog.text


def test_later_steps_leave_out_the_same(sets):
    """From data.json, without the list, which may be gone by then."""
    (sets / "out.txt").write_text("train/cat/03.png\tblurred\ntest/dog/02.png\t\n")
    data = open_data(str(sets / "clean"), validation="20%", exclude=str(sets / "out.txt"))
    again = open_again(data.describe())
    assert again.describe() == data.describe() and len(again.splits["test"]) == 7
    assert data.fingerprint != open_data(str(sets / "clean")).fingerprint


def test_names_that_are_not_there_are_listed(sets):
    """A list of another folder must not pass for one that did its work."""
    (sets / "out.txt").write_text("".join(f"train/cat/{number:02d}.png\told\n" for number in range(10, 20)))
    with pytest.raises(UserError) as caught:
        open_data(str(sets / "clean"), exclude=sets / "out.txt")
    assert "8 of its 10 names are no pictures of 'clean'" in str(caught.value)
    assert "'train/cat/12.png'" in str(caught.value) and "... and 3 more" in str(caught.value)
    with pytest.raises(UserError, match="can't be read"):
        open_data(str(sets / "clean"), exclude=sets / "none.txt")


def test_a_class_must_keep_a_picture_and_a_split_too(sets):
    """Nothing can be learnt of, or measured on, what is all left out."""
    (sets / "cats.txt").write_text("".join(f"train/cat/{number:02d}.png\tx\n" for number in range(12)))
    with pytest.raises(UserError, match="no picture of 'cat' is left to learn from"):
        open_data(str(sets / "clean"), exclude=sets / "cats.txt")
    names = (f"test/{name}/{number:02d}.png\tx\n" for name in ("cat", "dog") for number in range(4))
    (sets / "tests.txt").write_text("".join(names))
    with pytest.raises(UserError, match="every picture of test is left out"):
        open_data(str(sets / "clean"), exclude=sets / "tests.txt")
