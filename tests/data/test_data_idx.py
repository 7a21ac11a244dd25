"""The idx reader believes no header."""

import gzip
import struct

import numpy as np
import pytest

from strop.data.idx import read_idx, write_idx
from strop.errors import UserError


def test_what_is_written_is_read_back(tmp_path):
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    write_idx(tmp_path / "a.gz", values)
    assert np.array_equal(read_idx(tmp_path / "a.gz", 3), values)
    (tmp_path / "a").write_bytes(gzip.decompress((tmp_path / "a.gz").read_bytes()))
    assert np.array_equal(read_idx(tmp_path / "a", 3), values)


def test_a_file_written_by_hand_after_the_format_is_read(tmp_path):
    """0x00 0x00, type 0x08, one dimension, size 3, then the bytes."""
    (tmp_path / "labels").write_bytes(b"\0\0\x08\x01" + b"\0\0\0\x03" + b"\x05\x00\x09")
    assert read_idx(tmp_path / "labels", 1).tolist() == [5, 0, 9]


HEADER = struct.pack(">HBB3I", 0, 8, 3, 2, 2, 2)
BROKEN = {
    "is cut short: 7 of 8": HEADER + b"1234567",
    "goes on after the 8 bytes": HEADER + b"123456789",
    "inside its header": HEADER[:9],
    "no idx file": b"\x89PNG1234",
    "claims to hold 8.59e\\+10 bytes": struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 5, 4),
    "type 0x0d": struct.pack(">HBB3I", 0, 0x0D, 3, 2, 2, 2) + b"12345678",
    "in 1 dimensions": struct.pack(">HBBI", 0, 8, 1, 8) + b"12345678",
    "damaged or cut short": gzip.compress(HEADER + bytes(8))[:-9],
    "damaged or cut": gzip.compress(HEADER + b"12345678")[:-8] + bytes(8),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_file_is_refused(tmp_path, message):
    (tmp_path / "file").write_bytes(BROKEN[message])
    with pytest.raises(UserError, match=message):
        read_idx(tmp_path / "file", 3)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="can't be read"):
        read_idx(tmp_path / "nothing", 1)
