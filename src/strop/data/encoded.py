"""Pictures that are stored encoded, in files or in pieces of larger ones, and read where they lie. No torch."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .hashes import HASH_BYTES
from .picture import WHITE, decode_pixels, decode_shape, unreadable

if TYPE_CHECKING:
    import numpy as np


class EncodedSplit(ABC):
    """A `Split` whose pictures are JPEG, PNG and so on; a way in says only where their bytes are.

    Attributes:
        root: what the remembered hashes of the set are filed under; None where nothing is remembered.
        stamps: (N, 16) uint8, the state of what holds each picture (`hashes.stamp_files`); None if it is not known.
    """

    root: Path | None = None
    names: Sequence[str]
    labels: np.ndarray
    groups: Sequence[str] | None = None
    stamps: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def open(self, i: int) -> BinaryIO:
        """The bytes of picture i, to read and to seek in. Raises OSError."""

    @abstractmethod
    def where(self, i: int) -> str:
        """What a message calls picture i, so that a user can find it."""

    def content_hash(self, i: int) -> str:
        try:
            with self.open(i) as file:
                return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=HASH_BYTES)).hexdigest()
        except OSError as error:
            raise unreadable(self.where(i), error) from error

    def pixels(self, i: int, alpha: str = WHITE) -> np.ndarray:
        with self._open(i) as file:
            return decode_pixels(file, self.where(i), alpha)

    def shape(self, i: int) -> tuple[int, int, int]:
        with self._open(i) as file:
            return decode_shape(file, self.where(i))

    def size(self, i: int) -> tuple[int, int]:
        return self.shape(i)[:2]

    def _open(self, i: int) -> BinaryIO:
        try:
            return self.open(i)
        except OSError as error:
            raise unreadable(self.where(i), error) from error
