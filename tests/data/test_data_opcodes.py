"""CIFAR's Python files are read without being run."""

import contextlib
import hashlib
import os
import pickle
import struct

import numpy as np
import pytest
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from strop.data import open_source
from strop.data.opcodes import read_record
from strop.data.sets.cifar10 import CIFAR10
from strop.data.sets.cifar100 import CIFAR100
from strop.errors import UserError


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return b"U" + bytes([len(raw)]) + raw if len(raw) < 256 else b"T" + struct.pack("<I", len(raw)) + raw


def number(n: int) -> bytes:
    return b"K" + bytes([n]) if n < 256 else b"M" + struct.pack("<H", n) if n < 65536 else b"J" + struct.pack("<i", n)


def array(values: np.ndarray, memo: int) -> bytes:
    """As Python 2 and numpy wrote it: `_reconstruct`, then the state with shape, type, order and bytes."""
    rows, columns = values.shape
    order, raw = (b"\x88", values.tobytes("F")) if memo % 2 else (b"\x89", values.tobytes())
    return (
        b"cnumpy.core.multiarray\n_reconstruct\nq" + bytes([memo]) + b"cnumpy\nndarray\n" + b"K\x00\x85" + text("b")
        + b"\x87R(K\x01" + number(rows) + number(columns) + b"\x86cnumpy\ndtype\n" + text("u1")
        + b"K\x00K\x01\x87R(K\x03" + text("|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb" + order + text(raw) + b"tb"
    )  # fmt: skip


def record(values: np.ndarray, labels: list[int], key: str = "labels", memo: int = 2) -> bytes:
    """A batch file as CIFAR's are: a dictionary of a title, labels, pixels and file names."""
    names = b"".join(text(f"tree_s_{i:06d}.png") + b"r" + struct.pack("<I", 300 + i) for i in range(len(labels)))
    return (
        b"\x80\x02}q\x01(" + text("batch_label") + text("training batch 1 of 5") + text(key)
        + b"]q\x05(" + b"".join(map(number, labels)) + b"e" + text("data") + array(values, memo)
        + text("filenames") + b"]q\x06(" + names + b"eu."
    )  # fmt: skip


VALUES = np.arange(600, dtype=np.uint8).reshape(20, 30)


@pytest.mark.parametrize("memo", [2, 3])
def test_a_record_is_read_as_unpickling_would(memo):
    """The bytes made here are what Python's own reader understands (in either order of memory), and both agree."""
    data = record(VALUES, [3, 300, 70000], memo=memo)
    theirs = pickle.loads(data, encoding="latin1")
    ours = read_record(data)
    assert np.array_equal(ours["data"], theirs["data"]) and np.array_equal(ours["data"], VALUES)
    assert ours["labels"] == theirs["labels"] == [3, 300, 70000]
    assert [name.decode() for name in ours["filenames"]] == theirs["filenames"]


class Touch:
    """What an attacker would write: unpickling it runs a command."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_program_is_refused_and_not_run(tmp_path, protocol):
    """In every protocol: the command of a hostile file does not happen."""
    with pytest.raises(ValueError, match="no place in a record|does not need|another protocol"):
        read_record(pickle.dumps({"data": Touch(tmp_path / "ran")}, protocol))
    assert not (tmp_path / "ran").exists()


HOSTILE = {
    "names 'os system'": b"\x80\x02cos\nsystem\nU\x02ls\x85R.",
    "names 'builtins eval'": b"\x80\x02cbuiltins\neval\n.",
    "calls something": b"\x80\x02cnumpy\nndarray\nU\x01b\x85R.",
    "fills something else": b"\x80\x02}U\x01a\x85b.",
    "has 4 bytes": record(VALUES, [1]).replace(text(VALUES.tobytes()), text("abcd")),
    "instruction b'i'": b"\x80\x02(ios\nsystem\n.",
    "instruction b'\\\\x93'": b"\x80\x02U\x02osU\x06system\x93.",
    "no dictionary": b"\x80\x02K\x01.",
    "a key is no text": b"\x80\x02}K\x01K\x02s.",
    "a mark is missing": b"\x80\x02}K\x01e.",
    "the file is cut short": record(VALUES, [1])[:-300],
    "cut short or damaged \\(IndexError\\)": b"\x80\x02..",
    "another protocol": b"\x80\x04}.",
    "more than 2,000,000 instructions": b"\x80\x02" + b"N" * 2_000_001,
}


@pytest.mark.parametrize("message", HOSTILE, ids=range(len(HOSTILE)))
def test_whatever_else_is_in_a_file_is_refused(message):
    """Other names, calls, instructions and torn files end in one kind of error."""
    with pytest.raises(ValueError, match=message):
        read_record(HOSTILE[message])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_altered_bytes_give_a_record_or_an_error(data):
    """No byte makes the reader do anything but read."""
    good = bytearray(record(VALUES, [3, 300, 70000]))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        assert isinstance(read_record(bytes(good)), dict)


CIFARS = {"cifar10": CIFAR10, "cifar100": CIFAR100}


@pytest.mark.parametrize("name", CIFARS)
def test_cifar_for_python_is_read_when_its_md5_is_the_published_one(tmp_path, name, monkeypatch):
    """Another file is refused before it is read."""
    cifar = CIFARS[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STROP_DATA", str(tmp_path))
    folder = tmp_path / cifar.python
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3072), np.uint8)
    data = record(pixels, [0, 1, 2, 3], cifar.label_key)
    for part in cifar.files():
        (folder / part).write_bytes(data)
    with pytest.raises(UserError, match="is not the published file .* Fetch it again, or cifar-"):
        open_source(name)
    md5 = hashlib.md5(data).hexdigest()
    known = getattr(torchvision.datasets, cifar.torchvision)
    monkeypatch.setattr(known, "train_list", [[part, md5] for part in cifar.train])
    monkeypatch.setattr(known, "test_list", [[cifar.test, md5]])
    test = open_source(name).splits["test"]
    assert np.array_equal(test.images, pixels.reshape(4, 3, 32, 32).transpose(0, 2, 3, 1))
    assert test.labels.tolist() == [0, 1, 2, 3]
