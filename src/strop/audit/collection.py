"""The pictures that an audit looks at, one after the other, wherever they lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ..data.packed import PackedNames
from ..data.source import FileSplit

if TYPE_CHECKING:
    from ..data.source import Source, Split

NO_LABEL = -1


class Collection(ABC):
    """Pictures with names, splits and labels; nothing is opened before it is asked for.

    Args:
        classes: names in label order.
        splits: names of the splits, "train" first.
        names: what each picture is called in findings; unique.
        split: (N,) positions in `splits`.
        label: (N,) positions in `classes`; NO_LABEL for a picture outside of any class.
    """

    def __init__(
        self, classes: Sequence[str], splits: Sequence[str], names: Sequence[str], split: np.ndarray, label: np.ndarray
    ):
        self.classes, self.splits, self.names = tuple(classes), tuple(splits), names
        self.split, self.label = split, label

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def position(self) -> dict[str, int]:
        """From a picture's name to its number."""
        return {name: i for i, name in enumerate(self.names)}

    def split_of(self, name: str) -> str:
        return self.splits[self.split[self.position[name]]]

    def label_of(self, i: int) -> str:
        """The class of picture i in words."""
        return self.classes[self.label[i]] if self.label[i] != NO_LABEL else "no class"

    @abstractmethod
    def find(self, i: int) -> tuple[Split, int]:
        """The split of a source that holds picture i, and its number there."""

    def open(self, i: int) -> BinaryIO | None:
        """The encoded bytes of picture i; None where only pixels are stored. Raises OSError."""
        part, index = self.find(i)
        return part.open(index)

    def content(self, i: int) -> str:
        """Hash of picture i without decoding it, 16 bytes in hex. Raises UserError where it can't be read."""
        part, index = self.find(i)
        return part.content_hash(index)

    def shape(self, i: int) -> tuple[int, int, int]:
        """Height, width, channels from the header. Raises UserError for a broken one."""
        part, index = self.find(i)
        return tuple(part.shape(index))

    def pixels(self, i: int) -> np.ndarray:
        """The picture upright, (H, W, 1 or 3) uint8. Raises UserError for a broken one."""
        part, index = self.find(i)
        return part.pixels(index)


class FolderCollection(Collection):
    """Pictures in files below one folder, of all splits and classes, those without a class among them."""

    def __init__(self, root: Path, paths: list[str], **about):
        super().__init__(**about)
        self.root, self._files = root, FileSplit(root, PackedNames(paths), self.label)

    def find(self, i: int) -> tuple[Split, int]:
        return self._files, i


class SourceCollection(Collection):
    """The pictures of an opened source, such as a named data set."""

    def __init__(self, source: Source):
        self.parts: list[Split] = list(source.splits.values())
        lengths = [len(part) for part in self.parts]
        self.start = np.concatenate([[0], np.cumsum(lengths)])
        super().__init__(
            source.classes,
            list(source.splits),
            PackedNames(name for part in self.parts for name in part.names),
            np.repeat(np.arange(len(self.parts)), lengths),
            np.concatenate([part.labels for part in self.parts]),
        )

    def find(self, i: int) -> tuple[Split, int]:
        return self.parts[self.split[i]], int(i - self.start[self.split[i]])
