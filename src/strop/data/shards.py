"""Tar shards in the layout of WebDataset, read in any order through an index of offsets; nothing is unpacked.

Files of one picture follow one another and share all of their name up to its first dot: `cat/0012.jpg`,
`cat/0012.cls`.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import struct
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..errors import UserError
from .classes import name_classes, read_classes
from .encoded import EncodedSplit
from .formats import EXTENSIONS
from .hashes import HASH_BYTES, stamp_files
from .packed import PackedNames
from .patterns import expand, group_by_split
from .picture import MAX_FILE_BYTES, open_regular, unreadable
from .rows import show
from .samples import Sample, read_samples
from .source import SPLIT_NAMES, SPLITS, Source
from .tar import read_members

if TYPE_CHECKING:
    import numpy as np

CLASSES_FILE = "classes.txt"
_THREADS, _SHOWN = 4, 10


class ShardSplit(EncodedSplit):
    """Pictures inside tar files; a picture is read by one pread at its offset.

    Args:
        root: folder above all shards.
        shards: their paths below it.
        names: N names, the shard's path and the member's.
        labels: (N,) int64.
        places: (N, 3) int64: number of the shard, offset of the first byte, size in bytes.
        stamps: (N, 16) uint8, as for `FileSplit`.
    """

    def __init__(
        self,
        root: Path,
        shards: Sequence[str],
        names: PackedNames,
        labels: np.ndarray,
        places: np.ndarray,
        stamps: np.ndarray,
    ):
        self.root, self.shards, self.names, self.labels = root, tuple(shards), names, labels
        self.places, self.stamps = places, stamps

    def open(self, i: int) -> BinaryIO:
        shard, start, size = self.places[i].tolist()
        if size > MAX_FILE_BYTES:
            raise OSError(errno.EFBIG, f"{size:,} bytes are more than the {MAX_FILE_BYTES:,} that strop reads")
        with open_regular(os.path.join(self.root, self.shards[shard])) as file:
            content = os.pread(file.fileno(), size, start)
        if len(content) < size:
            raise OSError(errno.EIO, "its shard was cut short after it was opened")
        return io.BytesIO(content)

    def where(self, i: int) -> str:
        shard = self.shards[int(self.places[i, 0])]
        return f"{os.path.join(self.root, shard)}, {self.names[i].removeprefix(_nfc(shard) + '/')}"

    def take(self, indices: np.ndarray, labels: np.ndarray) -> ShardSplit:
        names = self.names.take(indices)
        return ShardSplit(self.root, self.shards, names, labels, self.places[indices], self.stamps[indices])


@dataclass
class _Index:
    """What is in a shard: a name and a row (offset, size, number of the label) for each picture."""

    kind: str = ""
    names: PackedNames = field(default_factory=PackedNames)
    rows: array = field(default_factory=lambda: array("q"))
    labels: dict[str, int] = field(default_factory=dict)


def open_shards(pattern: str) -> Source:
    """Read the headers of all shards that a pattern or folder names.

    The class is the number in `.cls`, else `label` or `class` in `.json`, else the text in `.txt`, else the member's
    folder. `classes.txt` in the folder of the shards, a name a line from number 0 on, gives numbers their names.

    Args:
        pattern: `shards/train-{0000..0146}.tar`, with braces or `*`; or a folder of `train-*.tar`, `val-*.tar`, ...
    Raises:
        UserError: a shard is not there, cut short or damaged (all such shards are named); a picture without a class,
            a class that train does not have, a name that is there twice.
    """
    where = f"wds:{pattern}"
    if "://" in pattern or pattern.startswith("pipe:"):
        raise UserError(where, "only files on this machine are read. Copy the shards here and give their path.")
    files = [Path(os.path.abspath(file)) for file in _find(pattern, where)]
    folder = Path(os.path.abspath(Path(pattern).expanduser()))
    root = folder if folder.is_dir() else Path(os.path.commonpath([file.parent for file in files]))
    grouped = group_by_split(files, where)
    ordered = [(split, file) for split in SPLITS for file in grouped.get(split, [])]
    indices = _read_all(root, [file for _, file in ordered], where)
    kinds = {index.kind for index in indices}
    if len(kinds) > 1:
        raise UserError(where, f"some pictures have their class in {' and some in '.join(sorted(kinds))}. Use one.")
    known = {split: {label for index in _of(split, ordered, indices) for label in index.labels} for split in grouped}
    file = root / CLASSES_FILE
    numbered = file.is_file() and all(label.isdigit() for label in known.get("train", ()))
    classes = name_classes(known, read_classes(file) if numbered else None, where, str(file))
    splits = {split: _join(root, split, ordered, indices, classes) for split in SPLITS if split in grouped}
    return Source(_nfc(root.name) or "shards", f"wds:{folder}", tuple(classes.values()), splits)


def _find(pattern: str, where: str) -> list[Path]:
    folder = Path(pattern).expanduser()
    if not folder.is_dir():
        return expand(pattern, where)
    below = [folder, *(path for path in sorted(folder.iterdir()) if path.name.lower() in SPLIT_NAMES and path.is_dir())]
    found = [file for path in below for file in sorted(path.glob("*.tar")) if not file.name.startswith(".")]
    if not found:
        raise UserError(where, "there is no .tar in this folder. Give the folder of the shards, or a pattern.")
    return found


def _read_all(root: Path, files: list[Path], where: str) -> list[_Index]:
    """The index of each shard; reading headers waits for the disk, so a few threads share it."""

    def read(file: Path) -> _Index | UserError:
        try:
            return _read_shard(root, file)
        except UserError as error:
            return error

    with ThreadPoolExecutor(_THREADS, "shards") as pool:
        made = list(pool.map(read, files))
    broken = [error for error in made if isinstance(error, UserError)]
    if len(broken) == 1:
        raise broken[0]
    if broken:
        more = [f"... and {len(broken) - _SHOWN} more shards"] if len(broken) > _SHOWN else []
        raise UserError(where, *map(str, broken[:_SHOWN]), *more)
    return made


def _read_shard(root: Path, file: Path) -> _Index:
    index, prefix = _Index(), os.path.relpath(file, root)

    def take(samples: Iterable[Sample]) -> Iterator[str]:
        for name, start, size, label, kind in samples:
            if (index.kind or kind) != kind:
                raise UserError(str(file), f"{show(name)} has its class in {kind}, others in {index.kind}. Use one.")
            index.kind = kind
            index.rows.extend((start, size, index.labels.setdefault(label, len(index.labels))))
            yield _nfc(f"{prefix}/{name}")

    try:
        with open_regular(file) as opened:
            members = read_members(opened.fileno(), str(file))
            index.names = PackedNames(take(read_samples(members, opened.fileno(), str(file))))
    except OSError as error:
        raise unreadable(str(file), error) from error
    if not len(index.names):
        raise UserError(str(file), f"holds no picture ({', '.join(sorted(EXTENSIONS))}).")
    order = index.names.order()
    names = index.names if order is None else index.names.take(order)
    for name, after in pairwise(names.raw()):
        if name == after:
            raise UserError(str(file), f"{show(name.decode().removeprefix(_nfc(prefix) + '/'))} is in it twice.")
    return index


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _of(split: str, ordered: list[tuple[str, Path]], indices: list[_Index]) -> Iterator[_Index]:
    return (index for (name, _), index in zip(ordered, indices, strict=True) if name == split)


def _join(
    root: Path, split: str, ordered: list[tuple[str, Path]], indices: list[_Index], classes: dict[str, str]
) -> ShardSplit:
    import numpy as np

    numbers = {label: number for number, label in enumerate(classes)}
    mine = list(_of(split, ordered, indices))
    shards = [os.path.relpath(file, root) for name, file in ordered if name == split]
    lengths = [len(index.names) for index in mine]
    places, labels = np.empty((sum(lengths), 3), np.int64), np.empty(sum(lengths), np.int64)
    for number, (index, end) in enumerate(zip(mine, np.cumsum(lengths).tolist(), strict=True)):
        part, rows = slice(end - len(index.names), end), np.frombuffer(index.rows, np.int64).reshape(-1, 3)
        places[part, 0], places[part, 1:] = number, rows[:, :2]
        labels[part] = np.array([numbers[label] for label in index.labels], np.int64)[rows[:, 2]]
    names = PackedNames.join([index.names for index in mine])
    return ShardSplit(root, shards, names, labels, places, _stamp(root, shards, places))


def _stamp(root: Path, shards: list[str], places: np.ndarray) -> np.ndarray:
    """The state of the shard and the place in it; zeros where the shard must not be remembered."""
    import numpy as np

    states, _ = stamp_files(os.fspath(root), map(os.fsencode, shards))
    stamps = bytearray()
    for shard, start, size in (row for at in range(0, len(places), 8192) for row in places[at : at + 8192].tolist()):
        state = states[shard].tobytes()
        made = hashlib.blake2b(state + struct.pack("<qq", start, size), digest_size=HASH_BYTES).digest()
        stamps += made if any(state) else bytes(HASH_BYTES)
    return np.frombuffer(stamps, np.uint8).reshape(-1, HASH_BYTES)
