"""The cache on disk: whole files or none, bounded, shared by processes, and nothing of anybody else's touched."""

import fcntl
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from strop.data import cache
from strop.data.cache import Chunk, open_or_write, pack

KEY, OTHER = "0" * 31 + "a", "0" * 31 + "b"
SHAPES = [(3, 4), (1, 1), (5, 2), (2, 2), (7, 3)]


def make_pictures(channels: int = 3) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*shape, channels), dtype=np.uint8) for shape in SHAPES]


def make_chunks(pictures: list[np.ndarray]):
    for some in (pictures[:2], pictures[2:]):
        shapes = np.array([picture.shape[:2] for picture in some])
        yield Chunk(np.concatenate([picture.reshape(-1) for picture in some]), shapes)


def refuse():
    yield pytest.fail("written again")


def write(folder: Path, key: str = KEY, chunks=None, *, bytes: int = 200, limit: float = 1e6):
    chunks = make_chunks(make_pictures()) if chunks is None else chunks
    return open_or_write(folder, key, n=5, channels=3, chunks=chunks, expected_bytes=bytes, limit_bytes=limit)


def blob(size: int):
    """One picture of `size` bytes and four of the least size, as chunks."""
    yield Chunk(np.zeros(size - 12, np.uint8), np.array([((size - 12) // 3, 1)]))
    yield Chunk(np.zeros(12, np.uint8), np.ones((4, 2), np.int64))


def test_memory_and_disk_give_back_every_picture(tmp_path):
    pictures = make_pictures()
    for packed in (pack(make_chunks(pictures), 3), write(tmp_path)):
        assert len(packed) == 5
        assert all(np.array_equal(packed[i], picture) for i, picture in enumerate(pictures))


def test_a_second_opening_reads_the_file(tmp_path):
    first, again = write(tmp_path), write(tmp_path, chunks=refuse())
    assert np.array_equal(first.flat, again.flat)
    assert [path.name for path in tmp_path.iterdir()] == [f"{KEY}.pixels"]
    with pytest.raises(ValueError):
        again.flat[0] = 1


@pytest.mark.parametrize("damage", ["cut", "grown", "header", "table", "empty"])
def test_a_damaged_file_is_never_used(tmp_path, damage):
    del_map = write(tmp_path)
    expected = del_map.flat.copy()
    path = tmp_path / f"{KEY}.pixels"
    data = bytearray(path.read_bytes())
    changed = {
        "cut": data[:-8],
        "grown": data + bytes(8),
        "header": b"{" + data,
        "table": data[:-24] + bytes([255] * 7 + [0]) + data[-16:],
        "empty": b"",
    }[damage]
    path.unlink()  # the file itself is mapped
    path.write_bytes(changed)
    assert np.array_equal(write(tmp_path).flat, expected)
    write(tmp_path, chunks=refuse())


def test_an_error_while_writing_leaves_nothing(tmp_path):
    def breaking():
        yield from make_chunks(make_pictures())
        raise KeyError("broken")

    with pytest.raises(KeyError):
        write(tmp_path, chunks=breaking())
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="5 were announced"):
        write(tmp_path, chunks=list(make_chunks(make_pictures()))[:1])
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path):
    """A limit of the file size stands for the disk: the system refuses the write in the same place."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(OSError):
            write(tmp_path, chunks=blob(60_000), bytes=60_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())


def test_what_can_not_fit_removes_nothing(tmp_path):
    write(tmp_path)
    for chunks, announced in ((refuse(), 2_000_000), (blob(1_200_000), 100)):
        with pytest.raises(OSError, match="above the limit"):
            write(tmp_path, OTHER, chunks, bytes=announced)
    assert [path.name for path in tmp_path.iterdir()] == [f"{KEY}.pixels"]


def test_a_disk_without_room_is_noticed_before_the_work(tmp_path, monkeypatch):
    status = os.statvfs(tmp_path)
    nearly_full = os.statvfs_result((*status[:3], 0, 0, *status[5:10]))
    monkeypatch.setattr(cache.os, "statvfs", lambda folder: nearly_full)
    with pytest.raises(OSError, match="the disk has 0 GB left"):
        write(tmp_path, chunks=refuse())


def test_the_oldest_of_our_files_make_room_and_nothing_else_does(tmp_path):
    """A key a file; 40 kB each, 100 kB allowed: the third needs the place of one, the one not used for longest."""
    keys = [f"{i:032x}" for i in range(3)]
    foreign = [tmp_path / "notes.pixels", tmp_path / f"{'A' * 32}.pixels", tmp_path / f"{KEY}.pixels.bak"]
    for path in foreign:
        path.write_bytes(bytes(50_000))
        os.utime(path, (1, 1))
    for key in keys[:2]:
        del_map = write(tmp_path, key, blob(40_000), bytes=40_000, limit=100_000)
        del del_map
    os.utime(tmp_path / f"{keys[0]}.pixels", (5, 5))
    os.utime(tmp_path / f"{keys[1]}.pixels", (4, 4))
    write(tmp_path, keys[1], refuse(), limit=100_000)  # used: now the younger one
    write(tmp_path, keys[2], blob(40_000), bytes=40_000, limit=100_000)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {path.name for path in foreign} | {f"{key}.pixels" for key in keys[1:]}


def test_a_file_in_use_stays(tmp_path):
    used = write(tmp_path, KEY, blob(40_000), bytes=40_000, limit=100_000)
    with pytest.raises(OSError, match="above the limit"):
        write(tmp_path, OTHER, refuse(), bytes=80_000, limit=100_000)
    del used
    assert len(write(tmp_path, OTHER, blob(80_000), bytes=80_000, limit=100_000)) == 5
    assert not (tmp_path / f"{KEY}.pixels").exists()


def test_links_in_the_folder_are_not_followed(tmp_path):
    """Neither written through, nor counted, nor removed with what they point to."""
    target = tmp_path / "precious"
    target.write_bytes(b"mine")
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / f"{KEY}.draft").symlink_to(target)
    (folder / f"{OTHER}.pixels").symlink_to(target)
    with pytest.raises(OSError):
        write(folder)
    assert len(write(folder, OTHER)) == 5
    assert target.read_bytes() == b"mine"


def test_a_waiting_process_uses_what_the_other_one_wrote(tmp_path):
    """Two at once: one writes, the other gets the same pixels without making any."""
    started, go_on = threading.Event(), threading.Event()

    def slow():
        started.set()
        go_on.wait(10)
        yield from make_chunks(make_pictures())

    found = []
    first = threading.Thread(target=lambda: found.append(write(tmp_path, chunks=slow())))
    first.start()
    assert started.wait(10)
    second = threading.Thread(target=lambda: found.append(write(tmp_path, chunks=refuse())))
    second.start()
    time.sleep(0.1)
    assert not found
    go_on.set()
    first.join(10), second.join(10)
    assert len(found) == 2 and np.array_equal(found[0].flat, found[1].flat)
    assert [path.name for path in tmp_path.iterdir()] == [f"{KEY}.pixels"]


SCRIPT = """
import sys, time, numpy as np
from pathlib import Path
from strop.data.cache import Chunk, open_or_write
def chunks():
    yield Chunk(np.zeros(9000, np.uint8), np.array([(3000, 1)]))
    print("writing", flush=True)
    time.sleep(60)
open_or_write(Path(sys.argv[1]), sys.argv[2], n=9, channels=3, chunks=chunks(), expected_bytes=1, limit_bytes=1e6)
"""


@pytest.mark.parametrize("key", [KEY, OTHER])
def test_a_killed_writer_blocks_nobody_and_its_draft_goes(tmp_path, key):
    script = [sys.executable, "-c", SCRIPT, str(tmp_path), KEY]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        with open(tmp_path / f"{KEY}.draft", "rb") as draft, pytest.raises(BlockingIOError):
            fcntl.flock(draft, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process.kill()
    assert len(write(tmp_path, key)) == 5
    assert [path.name for path in tmp_path.iterdir()] == [f"{key}.pixels"]


def test_the_folder_is_where_the_variable_says(monkeypatch, tmp_path):
    monkeypatch.setenv("STROP_CACHE", str(tmp_path))
    assert cache.cache_folder() == tmp_path / "pictures"
    monkeypatch.delenv("STROP_CACHE")
    assert cache.cache_folder() == Path.home() / ".cache" / "strop" / "pictures"
