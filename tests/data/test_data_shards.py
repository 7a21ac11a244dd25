"""Tar shards: the pictures a folder would give, read where they lie."""

import io
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from strop.audit import audit
from strop.data import open_again, open_data, open_source
from strop.data.geometry import RandomCrop
from strop.data.load import Loader, pictures
from strop.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))


def picture(seed: int, format: str = "JPEG", side: int = 24) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(file, format)
    return file.getvalue()


def write_shard(path, files: dict[str, bytes | str]):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            content = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def numbered(start: int, n: int = 6) -> dict[str, bytes | str]:
    """Pictures of two classes in turn, with .cls."""
    files = {}
    for i in range(start, start + n):
        files |= {f"{i:04d}.jpg": picture(i), f"{i:04d}.cls": str(i % 2)}
    return files


@pytest.fixture
def shards(tmp_path):
    """Two shards of train, one of val; classes.txt."""
    for number in range(2):
        write_shard(tmp_path / f"set/train-{number:04d}.tar", numbered(6 * number))
    write_shard(tmp_path / "set/val-0000.tar", numbered(12, 4))
    (tmp_path / "set/classes.txt").write_text("cat\ndog\n")
    return tmp_path / "set"


def test_a_folder_of_shards_is_a_source(shards):
    source = open_source(f"wds:{shards}")
    assert source.classes == ("cat", "dog") and source.name == "set"
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 12, "val": 4}
    train = source.splits["train"]
    assert train.names[7] == "train-0001.tar/0007.jpg" and train.labels.tolist() == [0, 1] * 6
    assert train.open(7).read() == picture(7)
    assert train.shape(7) == (24, 24, 3) and train.size(7) == (24, 24)
    assert open_source(source.location).splits["train"].names == train.names


def test_shards_give_what_the_same_files_in_folders_give(shards, tmp_path):
    """Content hashes, pixels, crops of every store, and with them the choice of validation by content."""
    for i in range(12):
        file = tmp_path / "folder" / ("cat", "dog")[i % 2] / f"{i:04d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(i))
    there = open_data(f"wds:{shards}/train-{{0000..0001}}.tar", validation="20%")
    here = open_data(str(tmp_path / "folder"), validation="20%")

    def by_number(data, split):
        return {name[-8:]: (data.pixels(split, i), data.labels(split)[i]) for i, name in enumerate(data.names(split))}

    for split in ("train", "val"):
        ours, theirs = by_number(there, split), by_number(here, split)
        assert set(ours) == set(theirs) and len(ours)
        assert all(np.array_equal(ours[key][0], theirs[key][0]) and ours[key][1] == theirs[key][1] for key in ours)
    kinds = ("memory", "cache", "stream")
    crop = RandomCrop(scale=(0.3, 1.0))
    made = [pictures(there, "train", size=16, channels=3, source=kind, crop=crop) for kind in kinds]
    batches = [next(Loader(one, batch_size=8, seed=3).epoch(1)) for one in made]
    assert torch.equal(batches[0].images, batches[1].images)
    assert torch.equal(batches[0].indices, batches[2].indices)
    # The tar's jpegs take the fast way too: a whole-picture box at full size is the exact pixels.
    assert made[2]._open(0) is not None


def test_an_epoch_from_its_middle_is_the_rest_of_the_whole_one(shards):
    loader = Loader(pictures(open_data(f"wds:{shards}"), "train", size=16, channels=3), batch_size=4, seed=5)
    whole, rest = list(loader.epoch(2)), list(loader.epoch(2, start=1))
    assert all(torch.equal(a.images, b.images) for a, b in zip(whole[1:], rest, strict=True))


def test_hashes_of_an_unchanged_shard_are_remembered(shards, monkeypatch):
    import os
    import time

    from strop.data.shards import ShardSplit

    for file in shards.iterdir():
        os.utime(file, (time.time() - 60,) * 2)
    monkeypatch.setattr("strop.data.hashes._RESTLESS_NS", 0)
    first = open_data(f"wds:{shards}")
    monkeypatch.setattr(ShardSplit, "content_hash", lambda self, i: pytest.fail("read again"))
    assert open_data(f"wds:{shards}").fingerprint == first.fingerprint


@pytest.mark.parametrize(
    "files, classes",
    [
        ({"1.jpg": picture(1), "1.cls": "10", "2.jpg": picture(2), "2.cls": " 2\n"}, ("2", "10")),
        (
            {"1.png": picture(1, "PNG"), "1.txt": "käse", "2.webp": picture(2, "WEBP"), "2.txt": "brot\n"},
            ("brot", "käse"),
        ),
        (
            {"1.jpg": picture(1), "1.json": '{"label": "b"}', "2.jpg": picture(2), "2.json": '{"label": "a"}'},
            ("a", "b"),
        ),
        ({"1.json": '{"class": 3}', "1.jpg": picture(1), "2.json": '{"class": 1}', "2.jpg": picture(2)}, ("1", "3")),
        ({"a/1.jpg": picture(1), "./b/x/1.jpg": picture(2)}, ("a", "x")),
        ({"a/1.jpg": picture(1), "a/1.txt": "t", "b/1.jpg": picture(2), "b/1.txt": "s"}, ("s", "t")),
        ({"1.seg.png": b"x", "1.jpg": picture(1), "1.cls": "0", "2.JPG": picture(2), "2.cls": "1"}, ("0", "1")),
        ({"a/._1.jpg": b"x", "a/1.jpg": picture(1), "__MACOSX/b/2.jpg": b"x", "b/2.jpg": picture(2)}, ("a", "b")),
        (
            {"1.jpg": picture(1), "1.json": "{}", "1.txt": "q", "2.jpg": picture(2), "2.json": "[]", "2.txt": "p"},
            ("p", "q"),
        ),
    ],
)
def test_where_the_class_is_said(tmp_path, files, classes):
    source = open_source(f"wds:{write_shard(tmp_path / 'shard.tar', files)}")
    assert source.classes == classes and len(source.splits["train"]) == 2
    assert all(source.splits["train"].pixels(i).shape == (24, 24, 3) for i in range(2))


@pytest.mark.parametrize(
    "names, sizes",
    [
        (["train-0.tar", "val-0.tar", "test-0.tar"], {"train": 6, "val": 6, "test": 6}),
        (["x-train-00000-of-00002.tar", "x-validation-0.tar"], {"train": 6, "val": 6}),
        (["train/0.tar", "test/0.tar"], {"train": 6, "test": 6}),
        (["0.tar", "1.tar"], {"train": 12}),
    ],
)
def test_the_split_is_in_the_name(tmp_path, names, sizes):
    for number, name in enumerate(names):
        write_shard(tmp_path / "d" / name, numbered(6 * number))
    assert {k: len(v) for k, v in open_source(f"wds:{tmp_path / 'd'}").splits.items()} == sizes


@pytest.mark.parametrize(
    "pattern, count", [("{train,val}-*.tar", 3), ("train-{0000..0001}.tar", 2), ("train-*.tar", 2), ("*-000[0]*", 2)]
)
def test_patterns_name_shards(shards, pattern, count):
    source = open_source(f"wds:{shards}/{pattern}")
    assert sum(len(split.shards) for split in source.splits.values()) == count


@pytest.mark.parametrize(
    "files, words",
    [
        ({"1.jpg": b"x", "1.cls": "cat"}, r"'1\.cls' holds 'cat'\. Write the number of a class\."),
        ({"1.jpg": b"x"}, r"'1' has no class\. Write 1\.cls behind it, or put it into a folder\."),
        (
            {"1.jpg": b"x", "1.png": b"x", "1.cls": "0"},
            r"'1\.jpg', '1\.png': pictures of one name up to its first dot\.",
        ),
        ({"a.1.jpg": b"x", "a.2.jpg": b"x"}, r"pictures of one name up to its first dot"),
        (
            {"1.jpg": b"x", "1.cls": "0", "2.jpg": b"x", "2.txt": "b"},
            r"'2\.jpg' has its class in \.txt, others in \.cls",
        ),
        ({"1.jpg": b"x", "1.txt": ""}, r"'1\.txt' is empty"),
        ({"1.jpg": b"x", "1.txt": "t" * 2000}, r"'1\.txt' has 2,000 bytes\. Write the class alone\."),
        ({"1.jpg": b"x", "1.txt": b"\xff"}, r"'1\.txt' is not text in UTF-8"),
        ({"1.jpg": b"x", "1.json": "{"}, r"'1\.json' is not readable as JSON"),
        ({"1.jpg": b"x", "1.json": "[" * 100_000}, r"'1\.json' is not readable as JSON"),
        ({"../1.jpg": b"x", "1.cls": "0"}, r"'\.\./1\.jpg' is no name of a file below a folder"),
        ({"/etc/1.jpg": b"x"}, r"'/etc/1\.jpg' is no name of a file below a folder"),
        ({"1.cls": "0"}, r"holds no picture"),
        ({"a/1.jpg": b"x", "a/2.jpg": b"x"}, r"there is only one class, 'a'"),
        ({"1.jpg": b"x", "1.cls": "0", "2.cls": "0", "1.JPG": b"x"}, r"'1' has no class"),
    ],
)
def test_what_is_wrong_names_the_shard_and_the_member(tmp_path, files, words):
    write_shard(tmp_path / "shard.tar", files)
    with pytest.raises(UserError, match=rf"shard\.tar: .*{words}"):
        open_source(f"wds:{tmp_path / 'shard.tar'}")


def test_the_same_member_twice_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, content in [("a/1.jpg", b"x"), ("b/1.jpg", b"y"), ("a/1.jpg", b"z")]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    with pytest.raises(UserError, match=r"a\.tar: 'a/1\.jpg' is in it twice"):
        open_source(f"wds:{tmp_path / 'a.tar'}")


def test_all_broken_shards_are_named_at_once(shards):
    for name in ("train-0000.tar", "val-0000.tar"):
        data = (shards / name).read_bytes()
        (shards / name).write_bytes(data[:3000])
    with pytest.raises(UserError) as caught:
        open_source(f"wds:{shards}")
    assert len(caught.value.problems) == 2
    assert all(f"{name}: is cut short: " in str(caught.value) for name in ("train-0000.tar", "val-0000.tar"))


def test_a_shard_cut_short_later_names_the_picture(shards):
    source = open_source(f"wds:{shards}")
    (shards / "train-0001.tar").write_bytes((shards / "train-0001.tar").read_bytes()[:1000])
    with pytest.raises(UserError, match=r"train-0001\.tar, 0007\.jpg: can't be read: its shard was cut short"):
        source.splits["train"].pixels(7)


@pytest.mark.parametrize(
    "pattern, words",
    [
        ("train-{0000..0003}.tar", r"train-0002\.tar: it is not there"),
        ("nothing-*.tar", r"nothing-\*\.tar: no file fits"),
        ("train-{0000.tar", r"has an open brace\. Write for example train-\{0000\.\.0146\}\.tar"),
        ("{0..999999999}.tar", r"stands for more than 100,000 files"),
        ("{0..999}{0..999}.tar", r"stands for more than 100,000 files"),
        ("val-*.tar", r"there is val, but no train"),
    ],
)
def test_patterns_that_do_not_fit(shards, pattern, words):
    with pytest.raises(UserError, match=words):
        open_source(f"wds:{shards}/{pattern}")


def test_streams_and_unclear_names_are_refused(tmp_path):
    for pattern in ("https://host/train-{0..9}.tar", "pipe:cat train.tar"):
        with pytest.raises(UserError, match="only files on this machine are read"):
            open_source(f"wds:{pattern}")
    for name in ("train-0.tar", "extra-0.tar"):
        write_shard(tmp_path / "a" / name, numbered(0))
    with pytest.raises(UserError, match=r"'extra-0\.tar': which split\?"):
        open_source(f"wds:{tmp_path / 'a'}")
    write_shard(tmp_path / "b/train-test.tar", numbered(0))
    with pytest.raises(UserError, match=r"'train-test\.tar': which split\?"):
        open_source(f"wds:{tmp_path / 'b'}")
    (tmp_path / "c").mkdir()
    with pytest.raises(UserError, match=r"there is no \.tar in this folder"):
        open_source(f"wds:{tmp_path / 'c'}")


def test_one_class_list_from_train(shards, caplog):
    """A class in val alone stops; a name in classes.txt without a training picture is left out and said."""
    (shards / "classes.txt").write_text("cat\ndog\neel\n")
    assert open_source(f"wds:{shards}").classes == ("cat", "dog")
    assert "no training picture of eel; left out" in caplog.text
    write_shard(shards / "val-0001.tar", {"9.jpg": picture(9), "9.cls": "2"})
    with pytest.raises(UserError, match="the class 'eel' is in val but nowhere in train"):
        open_source(f"wds:{shards}")
    (shards / "classes.txt").write_text("cat\n\n")
    with pytest.raises(UserError, match="1 classes are too few"):
        (shards / "val-0001.tar").unlink()
        open_source(f"wds:{shards}")


def test_more_numbers_than_names_are_refused(tmp_path):
    write_shard(tmp_path / "a.tar", {"1.jpg": b"x", "1.cls": "0", "2.jpg": b"x", "2.cls": "7"})
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(UserError, match=r"classes\.txt: has 2 names, but a picture is of class 7, counted from 0"):
        open_source(f"wds:{tmp_path / 'a.tar'}")


def test_an_audit_names_pictures_in_shards(shards):
    files = numbered(20, 4) | {
        "bad.jpg": picture(1)[:200],
        "bad.cls": "0",
        "lfs.jpg": "version https://git-lfs",
        "lfs.cls": "1",
    }
    write_shard(shards / "train-0002.tar", files | {"copy.jpg": picture(12), "copy.cls": "0"})
    findings = audit(f"wds:{shards}")
    told = {finding.kind: finding.files for finding in findings.found}
    assert told["not-a-picture"] == ("train-0002.tar/lfs.jpg",)
    assert told["truncated"] == ("train-0002.tar/bad.jpg",)
    assert told["leak"] == ("train-0002.tar/copy.jpg", "val-0000.tar/0012.jpg")


def test_webdataset_writes_what_is_read_and_reads_the_same(tmp_path):
    """The library itself as the oracle, where it is installed."""
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "train-0000.tar")) as sink:
        for i in range(20):
            about = {"label": "even" if i % 2 == 0 else "odd"}
            sink.write({"__key__": f"{i:04d}", "jpg": picture(i), "json": json.dumps(about).encode()})
    source = open_source(f"wds:{tmp_path / 'train-0000.tar'}")
    train = source.splits["train"]
    theirs = list(webdataset.WebDataset(str(tmp_path / "train-0000.tar"), shardshuffle=False, empty_check=False))
    assert len(theirs) == len(train) == 20
    for i, sample in enumerate(theirs):
        assert train.open(i).read() == sample["jpg"] and train.names[i] == f"train-0000.tar/{sample['__key__']}.jpg"
        assert source.classes[train.labels[i]] == json.loads(sample["json"])["label"]


def test_shards_that_were_moved_are_the_same_set(shards, tmp_path):
    """Names and content say what a picture is, not the place of the shards; so later steps find what was trained on."""
    data = open_data(f"wds:{shards}/train-*.tar", validation="20%", test="20%")
    about = json.loads(json.dumps(data.describe()))
    shards.rename(tmp_path / "elsewhere")
    again = open_again(about | {"location": f"wds:{tmp_path / 'elsewhere'}/train-*.tar"})
    assert again.fingerprint == data.fingerprint and again.splits == data.splits


def test_what_a_list_excludes_or_can_not_be_read_is_left_out_by_name(shards, tmp_path):
    bad = {"bad.jpg": picture(1)[:200], "bad.cls": "0"}
    write_shard(shards / "train-0002.tar", numbered(20) | bad)
    (tmp_path / "out.txt").write_text("train-0000.tar/0003.jpg\tblurred\n")
    data = open_data(f"wds:{shards}", exclude=tmp_path / "out.txt", max_unreadable="10%")
    assert data.excluded == {"train-0000.tar/0003.jpg": "blurred"}
    assert [*data.unreadable] == ["train-0002.tar/bad.jpg"] and "runcated" in data.unreadable["train-0002.tar/bad.jpg"]
    assert len(data.splits["train"]) == 12 + 6 - 1
