"""Where pictures come from: a folder or a named set, both behind the same few methods. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..errors import UserError, suggest
from .picture import read_pixels, read_shape

if TYPE_CHECKING:
    import numpy as np

SPLITS = ("train", "val", "test")
HASH_BYTES = 16


class Split(Protocol):
    """The labelled pictures of one split; `FileSplit` and `ArraySplit` answer alike.

    Attributes:
        labels: (N,) int64, positions in the source's `classes`.
        names: N names, unique inside a source: a relative path in Unicode NFC with "/", or "train/00017".
    """

    labels: np.ndarray
    names: Sequence[str]

    def __len__(self) -> int: ...

    def content_hash(self, i: int) -> str:
        """blake2b (16 bytes, hex) of the file's bytes, or of the pixels where there is no file."""

    def pixels(self, i: int) -> np.ndarray:
        """The picture, upright: (H, W, 1) grey or (H, W, 3) RGB, uint8. Raises UserError for a broken file."""

    def shape(self, i: int) -> tuple[int, int, int]:
        """Height, width, channels of `pixels(i)`, cheaply: from the header."""

    def size(self, i: int) -> tuple[int, int]:
        """Height and width of `pixels(i)`."""


@dataclass(frozen=True)
class Source:
    """A labelled set of pictures as it lies there, before strop divides it.

    Attributes:
        name: the folder's name, or that of the named set.
        location: absolute path of a folder; None for a named set, so `open_source(location or name)` finds it again.
        classes: names in label order; sorted for folders.
        splits: "train" always; "val" and "test" where the source has them.
    """

    name: str
    location: str | None
    classes: tuple[str, ...]
    splits: dict[str, Split]


class FileSplit:
    """Pictures in files below one folder; nothing is decoded before it is asked for."""

    def __init__(self, root: Path, files: Sequence[Path], names: Sequence[str], labels: np.ndarray):
        self.root, self.files, self.names, self.labels = root, files, names, labels

    def __len__(self) -> int:
        return len(self.files)

    def content_hash(self, i: int) -> str:
        try:
            with open(self.files[i], "rb") as file:
                return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=HASH_BYTES)).hexdigest()
        except OSError as error:
            raise UserError(str(self.files[i]), f"can't be read: {error.strerror or error}.") from error

    def pixels(self, i: int) -> np.ndarray:
        return read_pixels(self.files[i])

    def shape(self, i: int) -> tuple[int, int, int]:
        return read_shape(self.files[i])

    def size(self, i: int) -> tuple[int, int]:
        return self.shape(i)[:2]


class ArraySplit:
    """Pictures in one array.

    Args:
        name: "train", "val" or "test"; picture 17 is called "train/00017".
        images: (N, H, W) grey or (N, H, W, C) with C of 1 or 3, uint8.
        labels: (N,) integers.
    """

    def __init__(self, name: str, images: np.ndarray, labels: np.ndarray):
        self.images = images[..., None] if images.ndim == 3 else images
        self.labels = labels.astype("int64")
        self.names = [f"{name}/{i:05d}" for i in range(len(images))]

    def __len__(self) -> int:
        return len(self.images)

    def content_hash(self, i: int) -> str:
        return hashlib.blake2b(self.images[i].tobytes(), digest_size=HASH_BYTES).hexdigest()

    def pixels(self, i: int) -> np.ndarray:
        return self.images[i]

    def shape(self, i: int) -> tuple[int, int, int]:
        return self.images.shape[1:]

    def size(self, i: int) -> tuple[int, int]:
        return self.images.shape[1:3]


def open_source(name: str) -> Source:
    """Open a folder of pictures or a named set; an existing folder goes first.

    Raises:
        UserError: neither of the two, or the folder is not laid out as one class a folder.

    Example:
        >>> open_source("fashion-mini").classes[:2]
        ('t-shirt', 'trouser')
    """
    from .folder import open_folder
    from .sets import sets

    path = Path(name).expanduser()
    if path.is_dir():
        return open_folder(path)
    if path.exists():
        raise UserError(name, "is a file, not a folder. Unpack it if it is an archive, and give the folder.")
    known = sets.names()
    if name not in known:
        raise UserError(name, f"there is no such folder, and no data set of that name. {suggest(name, known)}")
    return sets.get(name)()
