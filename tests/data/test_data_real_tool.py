"""tools/make_real_data.py: its list, and the reading of Qt's resources on one made by hand."""

import csv
import importlib.util
import struct
import zlib
from collections import Counter
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "make_real_data.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("make_real_data", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_list_names_218_pictures_with_their_licences(tool):
    """161 for training and 57 for testing, of six kinds each; no original twice, each with author and licence."""
    rows = list(csv.reader(tool.LIST.open(encoding="utf-8", newline=""), delimiter="\t"))[1:]
    assert Counter(row[0].split("/")[0] for row in rows) == {"train": 161, "test": 57}
    assert all(
        len({row[0].split("/")[1] for row in rows if row[0].startswith(split)}) == 6 for split in ("train", "test")
    )
    assert len({row[4] for row in rows}) == 218 and all(row[1] and row[3] for row in rows)


def test_a_resource_gives_its_files_back(tool, tmp_path):
    """A folder with a plain and a compressed file, as Qt's documentation of the format lays them out (version 1)."""
    names, at = b"", {}
    for name in ("dir", "a.txt", "b.txt"):
        at[name] = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    packed = struct.pack(">I", 5) + zlib.compress(b"world")
    data = struct.pack(">I", 5) + b"hello" + struct.pack(">I", len(packed)) + packed
    tree = struct.pack(">IHII", 0, 2, 1, 1) + struct.pack(">IHII", at["dir"], 2, 2, 2)
    tree += struct.pack(">IHHHI", at["a.txt"], 0, 0, 0, 0) + struct.pack(">IHHHI", at["b.txt"], 1, 0, 0, 9)
    head = struct.pack(">4s4I", b"qres", 1, 20, 20 + len(tree), 20 + len(tree) + len(data))
    (tmp_path / "x.rcc").write_bytes(head + tree + data + names)
    assert tool.read_rcc(tmp_path / "x.rcc") == {"/dir/a.txt": b"hello", "/dir/b.txt": b"world"}


def test_the_pickle_reader_builds_arrays_only(tool):
    """Any other name in the file ends the tool."""
    import io
    import pickle

    with pytest.raises(SystemExit, match="the pickle names"):
        tool.Arrays(io.BytesIO(pickle.dumps(Path("x")))).load()
