"""Pictures that can't be read are left out of train by name, the same ones everywhere; nothing takes their place."""

import logging
import shutil

import numpy as np
import pytest
from PIL import Image

from strop.data import examine, hashes
from strop.data.dataset import open_again, open_data
from strop.data.geometry import RandomCrop
from strop.data.load import SOURCES, Loader, pictures
from strop.errors import UserError


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """`whole`: two classes of 20 pictures of noise; `broken`: the same and four files that are no pictures."""
    root = tmp_path_factory.mktemp("quarantine")
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / "whole" / name).mkdir(parents=True)
        for number in range(20):
            image = Image.fromarray(random.integers(0, 256, (24, 20, 3), dtype=np.uint8))
            image.save(root / "whole" / name / f"{number:02d}.{'jpg' if number % 2 else 'png'}")
    shutil.copytree(root / "whole", root / "broken")
    for source, name in (("01.jpg", "05b.jpg"), ("02.png", "zz.png")):
        shutil.copy(root / "whole" / "cat" / source, root / "broken" / "cat" / name)
        cut(root / "broken" / "cat" / name)
    (root / "broken" / "dog" / "00.jpg").write_bytes(b"")
    (root / "broken" / "dog" / "page.jpg").write_text("<!DOCTYPE html><html>404</html>")
    return root


@pytest.fixture
def broken(sets):
    return open_data(str(sets / "broken"), validation="20%", max_unreadable="10%")


def test_each_is_named_with_its_reason(sets, caplog):
    """Four of 44; the log says so, data.json too, and no split holds one of them."""
    with caplog.at_level(logging.WARNING, "strop"):
        broken = open_data(str(sets / "broken"), validation="20%", max_unreadable="10%")
    reasons = broken.describe()["unreadable"]
    assert list(reasons) == ["cat/05b.jpg", "cat/zz.png", "dog/00.jpg", "dog/page.jpg"]
    assert "truncated" in reasons["cat/05b.jpg"] and "can't be decoded" in reasons["cat/zz.png"]
    assert reasons["dog/00.jpg"] == "is no picture: it is empty (0 bytes)" and "HTML page" in reasons["dog/page.jpg"]
    names = [name for split in broken.splits for name in broken.names(split)]
    assert len(names) == 40 and not set(names) & set(reasons)
    assert sum(sum(counts.values()) for counts in broken.describe()["counts"].values()) == 40
    assert "4 of 44 training pictures can't be read and are left out" in caplog.text and "'dog/00.jpg'" in caplog.text


def test_what_is_left_is_the_set_without_them(broken, sets):
    """Fingerprint, splits and labels are those of the folder that never held these files."""
    whole = open_data(str(sets / "whole"), validation="20%")
    assert broken.fingerprint == whole.fingerprint and whole.unreadable == {}
    for split in ("train", "val"):
        assert list(broken.names(split)) == list(whole.names(split))
        assert broken.labels(split).tolist() == whole.labels(split).tolist()


@pytest.mark.parametrize("source", [source for source in SOURCES if source != "auto"])
@pytest.mark.parametrize("crop", [None, RandomCrop(scale=(0.3, 1.0))])
def test_no_way_of_loading_sees_them(broken, sets, source, crop):
    """Every batch of an epoch, in memory, from the cache and streamed, is that of the folder without them."""
    epochs = []
    for data in (broken, open_data(str(sets / "whole"), validation="20%")):
        made = pictures(data, "train", size=16, channels=3, source=source, crop=crop)
        assert made.kind == source
        epochs.append(list(Loader(made, batch_size=5, seed=1).epoch(2)))
    for mine, other in zip(*epochs, strict=True):
        assert all(bool((a == b).all()) for a, b in zip(mine, other, strict=True))


def test_above_the_limit_nothing_is_run(sets):
    """The count, the first names, and what to do; exactly at the limit it goes on."""
    with pytest.raises(UserError) as caught:
        open_data(str(sets / "broken"))
    assert "4 of 44 training pictures can't be read (9.1 %); at most 1 % may be left out:" in str(caught.value)
    assert "'cat/05b.jpg' can't be decoded (" in str(caught.value) and "--max-unreadable 10%" in str(caught.value)
    assert len(open_data(str(sets / "broken"), max_unreadable=4 / 44).unreadable) == 4
    with pytest.raises(UserError, match="data.max_unreadable: '10' is no share"):
        open_data(str(sets / "broken"), max_unreadable="10")


def test_later_steps_decide_nothing_again(broken, monkeypatch):
    """What data.json says is taken; the same split and fingerprint come of it."""
    monkeypatch.setattr(examine, "_measure", lambda split, i: pytest.fail("decoded again"))
    again = open_again(broken.describe())
    assert again.fingerprint == broken.fingerprint and again.splits == broken.splits
    assert again.unreadable == broken.unreadable and again.describe() == broken.describe()


def test_what_was_readable_is_not_decoded_again(sets, tmp_path, monkeypatch):
    """Only the broken ones are looked at a second time; a changed file is looked at again."""
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hashes, "_RESTLESS_NS", 0)
    shutil.copytree(sets / "broken", tmp_path / "set")
    seen, real = [], examine._try
    monkeypatch.setattr(examine, "_try", lambda how, split, i: seen.append(split.names[i]) or real(how, split, i))
    first = open_data(str(tmp_path / "set"), max_unreadable="20%")
    assert len(seen) == 44
    again = open_data(str(tmp_path / "set"), max_unreadable="20%")
    assert sorted(seen[44:]) == list(first.unreadable) and again.describe() == first.describe()
    cut(tmp_path / "set" / "dog" / "02.png")
    assert "dog/02.png" in open_data(str(tmp_path / "set"), max_unreadable="20%").unreadable


def test_splits_that_are_measured_on_must_be_whole(sets, tmp_path):
    """One unreadable picture of the source's val stops at the start; one of its test when test is read, not before."""
    for split in ("train", "val", "test"):
        shutil.copytree(sets / "whole", tmp_path / split)
    cut(tmp_path / "test" / "cat" / "04.png")
    data = open_data(str(tmp_path), max_unreadable="50%")
    with pytest.raises(UserError, match=r"test/cat/04\.png: can't be decoded"):
        pictures(data, "test", size=16, channels=3)
    (tmp_path / "test" / "dog" / "00.png").write_text("hello")
    with pytest.raises(UserError, match=r"1 test picture can't be read(.|\n)*'test/dog/00.png' is no picture"):
        open_data(str(tmp_path), max_unreadable="50%")
    shutil.copy(sets / "whole" / "dog" / "00.png", tmp_path / "test" / "dog")
    cut(tmp_path / "val" / "dog" / "01.jpg")
    with pytest.raises(UserError, match=r"1 val picture can't be read(.|\n)*'val/dog/01.jpg' can't be decoded"):
        open_data(str(tmp_path), max_unreadable="50%")


def test_a_class_without_a_readable_picture_stops_the_run(sets, tmp_path):
    """However much may be left out: what is not there can't be learnt."""
    shutil.copytree(sets / "whole", tmp_path / "set")
    (tmp_path / "set" / "eel").mkdir()
    (tmp_path / "set" / "eel" / "1.png").write_bytes(b"")
    with pytest.raises(UserError, match="no picture of 'eel' can be read"):
        open_data(str(tmp_path / "set"), max_unreadable="90%")
