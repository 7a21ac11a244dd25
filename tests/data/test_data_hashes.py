"""Remembered hashes save time and are never believed against the files."""

import os
import time

import numpy as np
import pytest
from PIL import Image

from strop.data import hashes as module
from strop.data import open_data
from strop.data.files import hash_all
from strop.data.hashes import HashStore, stamp_files
from strop.data.source import FileSplit, open_source


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Eight pictures, old enough to be remembered."""
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "_RESTLESS_NS", 0)
    for i in range(8):
        path = tmp_path / "data" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), i).save(path)
    time.sleep(0.02)  # the clock of the file system may lag behind by a tick
    return tmp_path / "data"


@pytest.fixture
def reads(monkeypatch):
    """The pictures whose bytes are read."""
    seen, real = [], FileSplit.content_hash

    def content_hash(split, i):
        seen.append(split.names[i])
        return real(split, i)

    monkeypatch.setattr(FileSplit, "content_hash", content_hash)
    return seen


def test_the_second_opening_reads_nothing(folder, reads):
    """Equal hashes, no file opened; another folder with the same names is another matter."""
    first = open_data(str(folder))
    assert len(reads) == 8
    again = open_data(str(folder))
    assert len(reads) == 8 and again.fingerprint == first.fingerprint and again.splits == first.splits
    assert len(list((folder.parent / "cache" / "hashes").iterdir())) == 1


def test_a_changed_file_is_read_again(folder, reads):
    """Also where its size and its time of writing are those of before: the time of change can't be set."""
    first = open_data(str(folder))
    path = folder / "a" / "0.png"
    state = path.stat()
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size and path.stat().st_mtime_ns == state.st_mtime_ns
    time.sleep(0.02)
    changed = open_data(str(folder), max_unreadable=None)  # it is no PNG any more
    assert changed.fingerprint != first.fingerprint and reads[8:] == ["a/0.png"]


def test_a_file_written_just_now_is_not_remembered(folder, reads, monkeypatch):
    """It may change again within one tick of the clock."""
    monkeypatch.setattr(module, "_RESTLESS_NS", 60_000_000_000)
    open_data(str(folder))
    open_data(str(folder))
    assert len(reads) == 16


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "other"])
def test_a_damaged_cache_is_as_good_as_none(folder, reads, harm):
    """A torn or altered file is read over and written anew."""
    first = open_data(str(folder))
    [file] = (folder.parent / "cache" / "hashes").iterdir()
    data = file.read_bytes()
    bad = {"cut": data[:-5], "flip": data[:-1] + bytes([data[-1] ^ 1]), "empty": b"", "other": b"x" * 500}[harm]
    file.write_bytes(bad)
    assert open_data(str(folder)).fingerprint == first.fingerprint and len(reads) == 16
    open_data(str(folder))
    assert len(reads) == 16


def test_a_cache_that_can_not_be_written_does_no_harm(folder, reads, monkeypatch):
    """A file where the folder should be: everything works, nothing is remembered."""
    (folder.parent / "file").write_text("")
    monkeypatch.setenv("STROP_CACHE", str(folder.parent / "file"))
    open_data(str(folder))
    open_data(str(folder))
    assert len(reads) == 16


def test_an_interrupted_reading_keeps_what_it_has(folder, monkeypatch):
    """The next opening goes on where the first was stopped."""
    source, real = open_source(str(folder)), FileSplit.content_hash
    monkeypatch.setattr("strop.data.files._BLOCK", 1)
    monkeypatch.setattr("strop.data.files._THREADS", 1)

    def stop_at_five(split, i):
        if i == 5:
            raise KeyboardInterrupt
        return real(split, i)

    monkeypatch.setattr(FileSplit, "content_hash", stop_at_five)
    with pytest.raises(KeyboardInterrupt):
        hash_all(source.splits)
    known, _ = HashStore(folder).find(source.splits["train"].stamps)
    assert known[:5].all() and not known[5]


def test_a_part_of_the_classes_does_not_forget_the_rest(folder, reads):
    """What was remembered of the whole set stays."""
    (folder / "c").mkdir()
    Image.new("L", (4, 4), 99).save(folder / "c" / "9.png")
    time.sleep(0.02)
    open_data(str(folder), classes=["a", "b"])
    open_data(str(folder))
    open_data(str(folder))
    assert len(reads) == 9


def test_the_cache_is_bounded_and_touches_nothing_else(folder, monkeypatch):
    """Our oldest files go first; what others put there stays."""
    place = folder.parent / "cache" / "hashes"
    place.mkdir(parents=True)
    (place / "notes.hashes").write_bytes(bytes(5000))
    old, new = place / f"{'0' * 32}.hashes", place / f"{'1' * 32}.hashes"
    for age, path in ((1000, old), (10, new)):
        path.write_bytes(bytes(300))
        os.utime(path, (time.time() - age,) * 2)
    monkeypatch.setattr(module, "LIMIT_BYTES", 700)
    open_data(str(folder))
    assert (place / "notes.hashes").exists() and not old.exists() and new.exists()


def test_stamps_tell_files_from_nothing_and_from_pipes(tmp_path):
    """What is no file gets no stamp, so that it is never remembered."""
    (tmp_path / "f").write_bytes(b"x")
    os.utime(tmp_path / "f", (1, 1))
    os.mkfifo(tmp_path / "p")
    stamps, kinds = stamp_files(str(tmp_path), [b"f", b"none", b"p", b".", b"a\0b"])
    assert kinds.tolist() == [0, 1, 2, 2, 1] and not stamps[1:].any() and stamps.shape == (5, 16)


def test_collisions_of_the_first_half_cost_a_read_only():
    """Two stamps with equal first halves never get each other's hash."""
    store = HashStore.__new__(HashStore)
    rows = np.zeros((2, 32), np.uint8)
    rows[:, :8], rows[1, 8:16], rows[:, 16:] = 7, 9, [[1] * 16, [2] * 16]
    store._rows = rows
    known, hashes = store.find(rows[:, :16])
    assert all(hashes[i, 0] == i + 1 for i in np.flatnonzero(known))
