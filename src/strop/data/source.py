"""Where pictures come from: a folder or a named set, both behind the same few methods. No torch."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from ..errors import UserError, suggest
from .encoded import EncodedSplit
from .hashes import HASH_BYTES
from .packed import PackedNames
from .picture import WHITE, open_regular

if TYPE_CHECKING:
    import numpy as np

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
TABLES = frozenset([".csv", ".tsv", ".parquet", ".txt"])


def guess_split(name: str) -> str | None:
    """The split that a folder with a name of its own seems to be meant as: tset, test_set or "Test images".

    >>> guess_split("test_set"), guess_split("windmill")
    ('test', None)
    """
    lowered = name.lower()
    near = difflib.get_close_matches(lowered, SPLIT_NAMES, n=1, cutoff=0.75)
    words = near or [word for word in re.split(r"[^a-z]+", lowered) if word in SPLIT_NAMES]
    return SPLIT_NAMES[words[0]] if words else None


def means_splits(folders: Sequence[Path]) -> bool:
    """Whether folders are splits under other names: all are called so, and hold folders, as classes seldom do."""
    return all(guess_split(path.name) for path in folders) and any(
        not below.name.startswith(".") for path in folders for below in path.glob("*/")
    )


class Split(Protocol):
    """The labelled pictures of one split; an `EncodedSplit` and an `ArraySplit` answer alike.

    Attributes:
        labels: (N,) int64, positions in the source's `classes`.
        names: N names, unique inside a source: a relative path in Unicode NFC with "/", or "train/00017".
        groups: N names of what a picture belongs to (a patient, a film), "" for none; None where nothing is known.
    """

    labels: np.ndarray
    names: Sequence[str]
    groups: Sequence[str] | None

    def __len__(self) -> int: ...

    def content_hash(self, i: int) -> str:
        """blake2b (16 bytes, hex) of the file's bytes, or of the pixels where there is no file."""

    def pixels(self, i: int, alpha: str = WHITE) -> np.ndarray:
        """The picture, upright: (H, W, 1) grey or (H, W, 3) RGB, uint8. Raises UserError for a broken one."""

    def shape(self, i: int) -> tuple[int, int, int]:
        """Height, width, channels of `pixels(i)`, cheaply: from the header."""

    def size(self, i: int) -> tuple[int, int]:
        """Height and width of `pixels(i)`."""

    def open(self, i: int) -> BinaryIO | None:
        """The encoded bytes of picture i; None where only pixels are stored. Raises OSError."""

    def take(self, indices: np.ndarray, labels: np.ndarray) -> Split:
        """The pictures at these places, under these labels; their names stay."""


@dataclass(frozen=True)
class Source:
    """A labelled set of pictures as it lies there, before strop divides it.

    Attributes:
        name: the folder's or table's name, or that of the named set.
        location: absolute path of a folder or table, with its prefix that of shards or a set of Hugging Face's; None
            for a named set, so `open_source(location or name)` finds it again.
        classes: names in label order; sorted for folders.
        splits: "train" always; "val" and "test" where the source has them.
    """

    name: str
    location: str | None
    classes: tuple[str, ...]
    splits: dict[str, Split]


class FileSplit(EncodedSplit):
    """Pictures in files below one folder; nothing is decoded before it is asked for.

    Args:
        root: the folder.
        names: N relative paths in Unicode NFC.
        labels: (N,) int64.
        paths: the relative paths as the file system spells them; None where they are the names.
        groups: as in `Split`.
        stamps: (N, 16) uint8, the files' state when they were looked at (`hashes.stamp_files`); None if they were not.
        no_pictures: place of a file that is none by its first bytes, and what it is; filled by `files.open_files`.
    """

    def __init__(
        self,
        root: Path,
        names: PackedNames,
        labels: np.ndarray,
        *,
        paths: PackedNames | None = None,
        groups: PackedNames | None = None,
        stamps: np.ndarray | None = None,
        no_pictures: dict[int, str] | None = None,
    ):
        self.root, self.names, self.labels, self.groups, self.stamps = root, names, labels, groups, stamps
        self.no_pictures = {} if no_pictures is None else no_pictures
        self.paths = names if paths is None else paths

    def open(self, i: int) -> BinaryIO:
        return open_regular(self.where(i))

    def where(self, i: int) -> str:
        return os.path.join(self.root, self.paths[i])

    def take(self, indices: np.ndarray, labels: np.ndarray) -> FileSplit:
        return FileSplit(
            self.root,
            self.names.take(indices),
            labels,
            paths=None if self.paths is self.names else self.paths.take(indices),
            groups=None if self.groups is None else self.groups.take(indices),
            stamps=None if self.stamps is None else self.stamps[indices],
            no_pictures=self._take_no_pictures(indices),
        )

    def _take_no_pictures(self, indices: np.ndarray) -> dict[int, str]:
        if not self.no_pictures:
            return {}
        return {at: self.no_pictures[i] for at, i in enumerate(indices.tolist()) if i in self.no_pictures}


class ArraySplit:
    """Pictures in one array.

    Args:
        name: "train", "val" or "test"; picture 17 is called "train/00017".
        images: (N, H, W) grey or (N, H, W, C) with C of 1 or 3, uint8; may be a memory map, with any strides.
        labels: (N,) integers.
    """

    groups = None

    def __init__(self, name: str, images: np.ndarray, labels: np.ndarray):
        self.images = images[..., None] if images.ndim == 3 else images
        self.labels = labels.astype("int64")
        self.names = PackedNames(f"{name}/{i:05d}" for i in range(len(images)))

    def __len__(self) -> int:
        return len(self.images)

    def content_hash(self, i: int) -> str:
        return hashlib.blake2b(self.images[i].tobytes(), digest_size=HASH_BYTES).hexdigest()

    def pixels(self, i: int, alpha: str = WHITE) -> np.ndarray:
        import numpy as np

        return np.ascontiguousarray(self.images[i])

    def shape(self, i: int) -> tuple[int, int, int]:
        return self.images.shape[1:]

    def size(self, i: int) -> tuple[int, int]:
        return self.images.shape[1:3]

    def open(self, i: int) -> None:
        return None

    def take(self, indices: np.ndarray, labels: np.ndarray) -> ArraySplit:
        made = ArraySplit.__new__(ArraySplit)
        made.images, made.labels, made.names = self.images[indices], labels, self.names.take(indices)
        return made


def open_source(name: str) -> Source:
    """Open a folder of pictures, a table of paths and labels, shards, a set of Hugging Face's, or a named set.

    What exists on disk goes first; `wds:` before a pattern of tar files and `hf:` before a name or path say the rest.

    Raises:
        UserError: none of these, or what is there is not laid out as it should be.

    Example:
        >>> open_source("fashion-mini").classes[:2]
        ('t-shirt', 'trouser')
    """
    from .folder import open_folder
    from .hub import open_hub
    from .sets import sets
    from .shards import open_shards
    from .table import open_table

    if name.startswith("wds:"):
        return open_shards(name.removeprefix("wds:"))
    if name.startswith("hf:"):
        return open_hub(name.removeprefix("hf:"))
    path = Path(name).expanduser()
    if path.is_dir():
        return open_folder(path)
    if path.is_file() and path.suffix.lower() in TABLES:
        return open_table(path)
    if path.exists():
        if path.suffix.lower() == ".tar":
            raise UserError(name, f"is a tar. Read it as it is with wds:{name}, or unpack it and give the folder.")
        raise UserError(
            name,
            "is a file, not a folder. Unpack it if it is an archive, and give the folder; "
            "a table must end in .csv, .tsv, .parquet or .txt.",
        )
    known = sets.names()
    if name not in known:
        missing = "file" if path.suffix.lower() in TABLES else "folder"
        raise UserError(name, f"there is no such {missing}, and no data set of that name. {suggest(name, known)}")
    return sets.get(name)()
