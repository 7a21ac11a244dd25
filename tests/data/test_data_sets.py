"""The named sets: what is bundled, and where the full set is looked for."""

import gzip
import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest

from strop.data.idx import write_idx
from strop.data.sets import fashion_mnist as full
from strop.data.sets import sets
from strop.data.sets.fashion_mini import BUNDLED
from strop.data.source import open_source
from strop.errors import UserError

TOOL = Path(__file__).parents[2] / "tools" / "make_fashion_mini.py"


def write_set(folder, n=4):
    folder.mkdir(parents=True)
    for images, labels in full.FILES.values():
        write_idx(folder / f"{images}.gz", np.zeros((n, 28, 28), np.uint8))
        write_idx(folder / f"{labels}.gz", np.arange(n, dtype=np.uint8))


def test_the_bundled_set_is_balanced_and_without_copies():
    source = open_source("fashion-mini")
    assert np.bincount(source.splits["train"].labels).tolist() == [500] * 10
    assert np.bincount(source.splits["test"].labels).tolist() == [100] * 10
    hashes = [split.content_hash(i) for split in source.splits.values() for i in range(len(split))]
    assert len(set(hashes)) == 6000
    assert sum(file.stat().st_size for file in BUNDLED.iterdir()) < 5e6
    assert "Zalando SE" in (BUNDLED / "LICENSE").read_text()


def test_the_first_pictures_are_not_all_of_one_class():
    """int8 calibration on the head of a sorted set sees one class only; here every class is among the first 100."""
    assert len(set(open_source("fashion-mini").splits["train"].labels[:100].tolist())) == 10


def test_the_bundled_files_are_what_the_tool_selects():
    folder = full.find_fashion_mnist()
    if folder is None:
        pytest.skip("the full Fashion-MNIST is not on this machine")
    spec = importlib.util.spec_from_file_location("make_fashion_mini", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    everything = full.read_fashion("fashion-mnist", folder)
    mini = open_source("fashion-mini")
    for split, chosen in tool.select(everything).items():
        assert mini.splits[split].images.tobytes() == everything.splits[split].images[chosen].tobytes()
        assert np.array_equal(mini.splits[split].labels, everything.splits[split].labels[chosen])
    for file in BUNDLED.glob("*.gz"):
        assert file.read_bytes()[4:8] == b"\0\0\0\0"  # no time of making in the gzip header


@pytest.mark.parametrize("place", ["home/fashion-mnist", "home/FashionMNIST/raw", "data/FashionMNIST/raw"])
def test_the_full_set_is_found_where_it_is_documented(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STROP_DATA", str(tmp_path / "home"))
    monkeypatch.setattr(full, "_DEBIAN", tmp_path / "none")
    write_set(tmp_path / place)
    source = open_source("fashion-mnist")
    assert source.name == "fashion-mnist" and source.classes[9] == "ankle-boot" and source.location is None
    assert source.splits["train"].labels.tolist() == [0, 1, 2, 3]


def test_unzipped_files_do_as_well(tmp_path, monkeypatch):
    monkeypatch.setenv("STROP_DATA", str(tmp_path))
    write_set(tmp_path / "fashion-mnist")
    for file in list((tmp_path / "fashion-mnist").glob("*.gz")):
        file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
        file.unlink()
    assert len(open_source("fashion-mnist").splits["test"]) == 4


def test_without_network_the_message_names_the_files_and_the_place(tmp_path, monkeypatch):
    import torchvision

    def no_network(root, download):
        raise RuntimeError("no mirror answered")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STROP_DATA", str(tmp_path / "home"))
    monkeypatch.setattr(full, "_DEBIAN", tmp_path / "none")
    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", no_network)
    with pytest.raises(UserError) as caught:
        open_source("fashion-mnist")
    text = str(caught.value)
    for stem in (stem for pair in full.FILES.values() for stem in pair):
        assert f"{stem}.gz" in text
    assert str(tmp_path / "home" / "fashion-mnist") in text and "dataset-fashion-mnist" in text
    assert "no mirror answered" in text


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    write_set(tmp_path / "a")
    write_idx(tmp_path / "a" / "train-labels-idx1-ubyte.gz", np.zeros(3, np.uint8))
    with pytest.raises(UserError, match="3 labels for 4 pictures"):
        full.read_fashion("x", tmp_path / "a")
    write_idx(tmp_path / "a" / "train-labels-idx1-ubyte.gz", np.full(4, 10, np.uint8))
    with pytest.raises(UserError, match="label 10 is out of range; there are 10 classes"):
        full.read_fashion("x", tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(UserError, match="is missing"):
        full.read_fashion("x", tmp_path / "a")


def test_every_set_has_a_summary():
    assert {"fashion-mini", "fashion-mnist", "cifar10", "imagenet", "flowers"} <= set(sets.names())
    assert all(entry.summary.endswith(".") for entry in sets.entries().values())
