"""The idx format of MNIST and its relatives: magic, dimensions, then plain bytes; often gzipped."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    import numpy as np

LIMIT_BYTES = 1_000_000_000
_UNSIGNED_BYTE = 0x08


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read a file of unsigned bytes, plain or gzipped.

    Layout: two zero bytes, type 0x08, number of dimensions, each size as big-endian uint32, the values.

    Args:
        path: the file.
        dimensions: how many are expected; 1 for labels, 3 for grey pictures (N, H, W).
    Raises:
        UserError: not such a file, cut short, too long, or larger than 1 GB.
    """
    import numpy as np

    try:
        with open(path, "rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if zipped else open(path, "rb") as file:
            sizes = _read_sizes(path, file, dimensions)
            count = math.prod(sizes)
            values = file.read(count)
            extra = file.read(1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(str(path), f"the file is damaged or cut short ({error}). Fetch it again.") from error
    except OSError as error:
        raise UserError(str(path), f"can't be read: {error.strerror or error}.") from error
    if len(values) < count:
        raise UserError(str(path), f"the file is cut short: {len(values)} of {count} bytes. Fetch it again.")
    if extra:
        raise UserError(str(path), f"the file goes on after the {count} bytes of its header. Fetch it again.")
    return np.frombuffer(values, dtype=np.uint8).reshape(sizes)


def write_idx(path: Path, values: np.ndarray) -> None:
    """Write uint8 values as a gzipped idx file whose bytes hold no time and no name."""
    header = struct.pack(">HBB", 0, _UNSIGNED_BYTE, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(gzip.compress(header + values.tobytes(), compresslevel=9, mtime=0))


def _read_sizes(path: Path, file, dimensions: int) -> tuple[int, ...]:
    """Check the header before anything is read in its name: a wrong size must not eat the memory."""
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0":
        raise UserError(str(path), f"is no idx file: it starts with {head!r}, not with two zero bytes.")
    if head[2] != _UNSIGNED_BYTE or head[3] != dimensions:
        raise UserError(
            str(path),
            f"holds type 0x{head[2]:02x} in {head[3]} dimensions; expected type 0x08 (bytes) in {dimensions}.",
        )
    sizes = file.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise UserError(str(path), "the file is cut short inside its header. Fetch it again.")
    sizes = struct.unpack(f">{dimensions}I", sizes)
    if math.prod(sizes) > LIMIT_BYTES:
        raise UserError(str(path), f"claims to hold {math.prod(sizes):.3g} bytes; at most 1e9 are read.")
    return sizes
