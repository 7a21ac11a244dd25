"""The idx format of MNIST and its relatives: magic, dimensions, then plain bytes; often gzipped."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .source import ArraySplit, Source

if TYPE_CHECKING:
    import numpy as np

LIMIT_BYTES = 1_000_000_000
IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
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


def holds_idx_set(folder: Path) -> bool:
    """Whether all four files of MNIST or a relative are in a folder, plain or gzipped."""
    return all(_pick(folder, stem) for pair in IDX_FILES.values() for stem in pair)


def read_idx_set(name: str, classes: tuple[str, ...], folder: Path) -> Source:
    """Read the four files of a folder. Raises UserError where they are damaged or do not belong together."""
    splits = {split: _read_split(split, classes, folder, *pair) for split, pair in IDX_FILES.items()}
    return Source(name, None, classes, splits)


def _read_split(split: str, classes: tuple[str, ...], folder: Path, images_stem: str, labels_stem: str) -> ArraySplit:
    images_file, labels_file = _pick(folder, images_stem), _pick(folder, labels_stem)
    if images_file is None or labels_file is None:
        raise UserError(str(folder), f"{images_stem}.gz or {labels_stem}.gz is missing. Install or fetch it again.")
    images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
    if len(images) != len(labels):
        raise UserError(str(labels_file), f"{len(labels)} labels for {len(images)} pictures. Fetch both files again.")
    if len(labels) and labels.max() >= len(classes):
        raise UserError(str(labels_file), f"label {labels.max()} is out of range; there are {len(classes)} classes.")
    return ArraySplit(split, images, labels)


def _pick(folder: Path, stem: str) -> Path | None:
    return next((path for path in (folder / stem, folder / f"{stem}.gz") if path.is_file()), None)


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
