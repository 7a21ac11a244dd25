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
from dataclasses import dataclass
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
PLACE = [("shard", "<u4"), ("start", "<u8"), ("size", "<u4")]
_THREADS, _SHOWN, _BLOCK = 4, 10, 8192
_MOST = 2**32 - 1


class ShardSplit(EncodedSplit):
    """Pictures inside tar files; a picture is read by one pread at its offset.

    Args:
        root: folder above all shards.
        shards: their paths below it.
        names: N names, the shard's path and the member's.
        labels: (N,) int64.
        places: (N,) of the fields PLACE: number of the shard, offset of the first byte, size in bytes.
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
        shard, start, size = self.places[i].item()
        if size > MAX_FILE_BYTES:
            raise OSError(errno.EFBIG, f"{size:,} bytes are more than the {MAX_FILE_BYTES:,} that strop reads")
        with open_regular(os.path.join(self.root, self.shards[shard])) as file:
            content = os.pread(file.fileno(), size, start)
        if len(content) < size:
            raise OSError(errno.EIO, "its shard was cut short after it was opened")
        return io.BytesIO(content)

    def where(self, i: int) -> str:
        shard = self.shards[self.places["shard"][i]]
        return f"{os.path.join(self.root, shard)}, {self.names[i].removeprefix(_nfc(shard) + '/')}"

    def take(self, indices: np.ndarray, labels: np.ndarray) -> ShardSplit:
        names = self.names.take(indices)
        return ShardSplit(self.root, self.shards, names, labels, self.places[indices], self.stamps[indices])


@dataclass
class _Index:
    """What is in a shard, or in all shards of a split, before its classes have numbers.

    Attributes:
        names: sorted in each shard, because the fingerprint goes by name: to sort a million at every command takes
            70 MB.
        places: as in `ShardSplit`.
        labels: positions in `texts`.
        texts: what pictures say about their class.
        kinds: where they say it.
    """

    names: PackedNames
    places: np.ndarray
    labels: np.ndarray
    texts: dict[str, int]
    kinds: set[str]


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
    broken: list[UserError] = []
    indices = {split: _read_all(root, grouped[split], broken) for split in SPLITS if split in grouped}
    _raise_broken(broken, where)
    kinds = set().union(*(index.kinds for index in indices.values()))
    if len(kinds) > 1:
        raise UserError(where, f"some pictures have their class in {' and some in '.join(sorted(kinds))}. Use one.")
    file = root / CLASSES_FILE
    numbered = file.is_file() and all(text.isdigit() for text in indices["train"].texts)
    known = {split: set(index.texts) for split, index in indices.items()}
    classes = name_classes(known, read_classes(file) if numbered else None, where, str(file))
    splits = {split: _finish(root, grouped[split], index, list(classes)) for split, index in indices.items()}
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


def _read_all(root: Path, files: list[Path], broken: list[UserError]) -> _Index:
    """The index of a split; reading headers waits for the disk, so a few threads share it. Errors go into `broken`."""
    import numpy as np

    places, labels, texts, kinds = [np.empty(0, PLACE)], [np.empty(0, np.int32)], {}, set()

    def read(file: Path) -> _Index | UserError:
        try:
            return _read_shard(root, file)
        except UserError as error:
            return error

    def take(indices: Iterator[_Index | UserError]) -> Iterator[PackedNames]:
        """Each shard's index is dropped once it is copied."""
        for number, index in enumerate(indices):
            if isinstance(index, UserError):
                broken.append(index)
                continue
            index.places["shard"] = number
            places.append(index.places)
            numbers = [texts.setdefault(text, len(texts)) for text in index.texts]
            labels.append(np.array(numbers, np.int32)[index.labels])
            kinds.update(index.kinds)
            yield index.names

    with ThreadPoolExecutor(_THREADS, "shards") as pool:
        names = PackedNames.join(take(pool.map(read, files)))
    return _Index(names, np.concatenate(places), np.concatenate(labels), texts, kinds)


def _raise_broken(broken: list[UserError], where: str) -> None:
    if len(broken) == 1:
        raise broken[0]
    if broken:
        more = [f"... and {len(broken) - _SHOWN} more shards"] if len(broken) > _SHOWN else []
        raise UserError(where, *map(str, broken[:_SHOWN]), *more)


def _read_shard(root: Path, file: Path) -> _Index:
    import numpy as np

    prefix, kinds, numbers, labels = os.path.relpath(file, root), set(), array("q"), {}

    def take(samples: Iterable[Sample]) -> Iterator[str]:
        for name, start, size, label, kind in samples:
            kinds.add(kind)
            if len(kinds) > 1:
                (other,) = kinds - {kind}
                raise UserError(str(file), f"{show(name)} has its class in {kind}, others in {other}. Use one.")
            numbers.extend((start, min(size, _MOST), labels.setdefault(label, len(labels))))
            yield _nfc(f"{prefix}/{name}")

    try:
        with open_regular(file) as opened:
            members = read_members(opened.fileno(), str(file))
            names = PackedNames(take(read_samples(members, opened.fileno(), str(file))))
    except OSError as error:
        raise unreadable(str(file), error) from error
    if not len(names):
        raise UserError(str(file), f"holds no picture ({', '.join(sorted(EXTENSIONS))}).")
    rows, order = np.frombuffer(numbers, np.int64).reshape(-1, 3), names.order()
    if order is not None:
        names, rows = names.take(order), rows[order]
    places = np.empty(len(rows), PLACE)
    places["start"], places["size"] = rows[:, 0], rows[:, 1]
    for name, after in pairwise(names.raw()):
        if name == after:
            raise UserError(str(file), f"{show(name.decode().removeprefix(_nfc(prefix) + '/'))} is in it twice.")
    return _Index(names, places, rows[:, 2], labels, kinds)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _finish(root: Path, files: list[Path], index: _Index, classes: list[str]) -> ShardSplit:
    import numpy as np

    number = {text: i for i, text in enumerate(classes)}
    labels = np.array([number[text] for text in index.texts], np.int64)[index.labels]
    shards = [os.path.relpath(file, root) for file in files]
    return ShardSplit(root, shards, index.names, labels, index.places, _stamp(root, shards, index.places))


def _stamp(root: Path, shards: list[str], places: np.ndarray) -> np.ndarray:
    """The state of the shard and the place in it; zeros where the shard must not be remembered."""
    import numpy as np

    states, _ = stamp_files(os.fspath(root), map(os.fsencode, shards))
    stamps = bytearray()
    blocks = (places[at : at + _BLOCK].tolist() for at in range(0, len(places), _BLOCK))
    for shard, start, size in (place for block in blocks for place in block):
        state = states[shard].tobytes()
        made = hashlib.blake2b(state + struct.pack("<qq", start, size), digest_size=HASH_BYTES).digest()
        stamps += made if any(state) else bytes(HASH_BYTES)
    return np.frombuffer(stamps, np.uint8).reshape(-1, HASH_BYTES)
