"""Copies of training pictures in another split: exact, re-encoded, mirrored; none where there are none."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from strop.data import leaks
from strop.data.dataset import open_data


def picture(seed):
    """A smooth random picture of 64 pixels, in colour."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def leaky(tmp_path_factory):
    """Test picture 0 is training picture 0, 1 is 1 as JPEG, 2 is 2 mirrored; 3 to 9 are new."""
    root = tmp_path_factory.mktemp("leaky")
    for split in ("train", "test"):
        for kind in "ab":
            (root / split / kind).mkdir(parents=True)
    for seed in range(20):
        picture(seed).save(root / "train" / "ab"[seed % 2] / f"{seed:02}.png")
    shutil.copy(root / "train/a/00.png", root / "test/a/0.png")
    picture(1).save(root / "test/b/1.jpg", quality=90)
    picture(2).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(root / "test/a/2.png")
    for seed in range(3, 10):
        picture(100 + seed).save(root / "test" / "ab"[seed % 2] / f"{seed}.png")
    return open_data(str(root), validation="20%")


def test_copies_are_found_by_name(leaky):
    """One exact, two near; whatever was in validation is no training picture, so its copies are no leak."""
    found, names = leaks.find_copies(leaky, leaky, "test"), list(leaky.names("test"))
    trained = {name.rpartition("/")[2] for name in leaky.names("train")}
    exact = {name for name in ["test/a/0.png"] if "00.png" in trained}
    near = {name for name, of in (("test/b/1.jpg", "01.png"), ("test/a/2.png", "02.png")) if of in trained}
    assert {names[i] for i in np.flatnonzero(found.exact)} == exact
    assert {names[i] for i in np.flatnonzero(found.near)} == near
    assert exact or near, "the seed of the split left none of them in train"
    again = leaks.find_copies(leaky, leaky, "test")
    assert (again.near == found.near).all() and (again.any == (found.exact | found.near)).all()


def test_validation_has_none(leaky):
    """Near copies stay on one side of a split, so none is between train and val."""
    assert not leaks.find_copies(leaky, leaky, "val").any.any()


def test_too_many_are_not_searched(leaky):
    """Exact ones are told from hashes alone; near ones are unknown, not zero."""
    found = leaks.find_copies(leaky, leaky, "test", most=5)
    assert found.near is None and (found.any == found.exact).all()


def test_against_another_set(leaky, tmp_path):
    """Training pictures of one set among the test pictures of another."""
    for kind in "ab":
        (tmp_path / "train" / kind).mkdir(parents=True)
        picture(500).save(tmp_path / "train" / kind / "0.png")
    name = str(leaky.names("train")[0])
    stream = leaky.open("train", 0)
    (tmp_path / "test" / "a").mkdir(parents=True)
    (tmp_path / "test" / "a" / "x.png").write_bytes(io.BytesIO(stream.read()).getvalue())
    stream.close()
    other = open_data(str(tmp_path), validation=0)
    assert leaks.find_copies(leaky, other, "test").exact.tolist() == [True], name
