"""A source divided, counted and fingerprinted."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from strop.data.dataset import open_data, parse_fraction
from strop.data.source import ArraySplit, Source
from strop.errors import UserError


def source_of(images, labels, classes=("a", "b"), **others) -> Source:
    return Source("made", None, classes, {"train": ArraySplit("train", images, np.array(labels)), **others})


@pytest.fixture(scope="module")
def mini():
    return open_data("fashion-mini")


def paint_folder(root, splits=("train", "test")):
    random = np.random.default_rng(0)
    for split in splits:
        for name in ("cat", "dog"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(10):
                Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{i}.png")


def test_five_percent_of_each_class_become_validation(mini):
    """500 training pictures a class: 25 aside, 475 stay; test is untouched."""
    counts = mini.describe()["counts"]
    assert set(counts["train"].values()) == {475} and set(counts["val"].values()) == {25}
    assert set(counts["test"].values()) == {100}
    assert not set(mini.splits["train"]) & set(mini.splits["val"])
    assert len(set(mini.splits["train"]) | set(mini.splits["val"])) == 5000


def test_fashion_mini_looks_like_what_it_is(mini):
    assert (mini.channels, mini.natural_size, mini.input_size) == (1, 28, 28)
    assert open_data("fashion-mini", input_size=64).input_size == 64


def test_describe_is_json_and_finds_the_source_again(mini):
    described = json.loads(json.dumps(mini.describe()))
    assert described["validation"]["names"] == mini.names("val") and len(mini.names("val")) == 250
    assert described["validation"]["rule"] == "5% of train a class, by content hash, near copies together, seed 0"
    again = open_data(described["location"] or described["source"])
    assert again.fingerprint == described["fingerprint"] and again.splits == mini.splits


def test_a_source_with_its_own_val_keeps_it(tmp_path):
    paint_folder(tmp_path, ("train", "val"))
    data = open_data(str(tmp_path), validation="50%")
    assert len(data.splits["train"]) == 20 and {part for part, _ in data.splits["val"]} == {"val"}
    assert data.splits["test"] == [] and data.validation == "the source's own val split"


def test_zero_percent_leaves_no_validation(tmp_path):
    paint_folder(tmp_path)
    data = open_data(str(tmp_path), validation="0%")
    assert data.splits["val"] == [] and len(data.splits["train"]) == 20


def test_moving_the_folder_changes_nothing_but_the_location(tmp_path):
    paint_folder(tmp_path / "here")
    before = open_data(str(tmp_path / "here"), validation="20%")
    shutil.move(tmp_path / "here", tmp_path / "there")
    after = open_data(str(tmp_path / "there"), validation="20%")
    assert before.fingerprint == after.fingerprint and before.splits == after.splits
    assert before.source.location != after.source.location


def test_the_fingerprint_sees_pixels_labels_names_and_splits(tmp_path):
    paint_folder(tmp_path)
    seen = [open_data(str(tmp_path)).fingerprint]
    Image.new("RGB", (8, 8)).save(tmp_path / "train/cat/0.png")
    seen.append(open_data(str(tmp_path)).fingerprint)
    (tmp_path / "train/cat/0.png").rename(tmp_path / "train/cat/0b.png")
    seen.append(open_data(str(tmp_path)).fingerprint)
    (tmp_path / "train/cat/1.png").rename(tmp_path / "train/dog/11.png")
    seen.append(open_data(str(tmp_path)).fingerprint)
    (tmp_path / "train/dog/2.png").rename(tmp_path / "test/dog/12.png")
    seen.append(open_data(str(tmp_path)).fingerprint)
    assert len(set(seen)) == 5 and all(text.startswith("blake2b:") for text in seen)


def test_the_validation_share_does_not_change_the_fingerprint(mini):
    assert open_data("fashion-mini", validation="10%", seed=3).fingerprint == mini.fingerprint


def test_channels_and_natural_size_need_all_to_agree():
    grey = np.zeros((4, 96, 96), np.uint8)
    assert open_data(source_of(grey, [0, 0, 1, 1])).natural_size == 96
    assert open_data(source_of(np.zeros((4, 97, 97), np.uint8), [0, 0, 1, 1])).natural_size is None
    assert open_data(source_of(np.zeros((4, 20, 30), np.uint8), [0, 0, 1, 1])).natural_size is None
    assert open_data(source_of(np.zeros((4, 20, 20, 3), np.uint8), [0, 0, 1, 1])).channels == 3


def test_one_colour_picture_makes_the_set_colour(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / name / "1.png")
    assert open_data(str(tmp_path)).channels == 1
    Image.new("RGB", (8, 8)).save(tmp_path / "dog" / "2.png")
    assert open_data(str(tmp_path)).channels == 3


def test_labels_names_and_pixels_belong_together(mini):
    labels, names = mini.labels("val"), mini.names("val")
    part, index = mini.splits["val"][7]
    assert labels[7] == mini.source.splits[part].labels[index] and names[7] == f"{part}/{index:05d}"
    assert np.array_equal(mini.pixels("val", 7), mini.source.splits[part].images[index])


@pytest.mark.parametrize(
    "text, value",
    [
        ("5%", 0.05),
        (" 12.5 % ", 0.125),
        ("0.05", 0.05),
        (0.2, 0.2),
        ("0%", 0),
        (0, 0),
        (1e-3, 0.001),
        (0.00001, 1e-5),
    ],
)
def test_shares_are_read(text, value):
    assert parse_fraction(text) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("text", ["100%", "1", 1, 1.0, "-5%", "five", "", "5%%", True, "nan", float("inf"), "5 per"])
def test_other_shares_are_refused(text):
    with pytest.raises(UserError, match="is no share of the training pictures"):
        parse_fraction(text)


def test_a_bare_number_is_asked_about():
    with pytest.raises(UserError, match="'5' is no share .* Write 5% or a fraction such as 0.05"):
        open_data("fashion-mini", validation="5")


@pytest.mark.parametrize("size", [0, -3, 2.5])
def test_input_size_must_be_a_side(size):
    with pytest.raises(UserError, match="is no side in pixels"):
        open_data("fashion-mini", input_size=size)


def test_the_data_side_does_without_torch():
    """torch costs seconds; a config error or `compare` must not wait for it."""
    code = (
        "import sys; from strop.data import open_data; import strop.augment; "
        "open_data('fashion-mini').describe(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
