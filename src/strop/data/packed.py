"""A million names in two arrays, and which pictures make up a split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    import numpy as np

_BLOCK = 8192
_SORT_BYTES = 200_000_000


class PackedNames(Sequence[str]):
    """Names as one blob of UTF-8 and the places where each ends.

    A list of 1.28 million paths takes 125 MB and is copied page by page into every forked process, because Python
    counts references inside the strings; this takes 57 MB that nobody writes to.

    Example:
        >>> names = PackedNames(["cat/1.jpg", "dog/2.jpg"])
        >>> names[-1], len(names), names == ["cat/1.jpg", "dog/2.jpg"]
        ('dog/2.jpg', 2, True)
    """

    __slots__ = ("blob", "ends")

    def __init__(self, names: Iterable[str] = ()):
        import numpy as np

        parts, lengths = bytearray(), [np.zeros(1, dtype=np.int64)]
        for block in _blocks(names):
            raw = [name.encode("utf-8", "surrogateescape") for name in block]
            parts += b"".join(raw)
            lengths.append(np.fromiter(map(len, raw), dtype=np.int64, count=len(raw)))
        self.blob = bytes(parts)
        self.ends = np.cumsum(np.concatenate(lengths))

    @classmethod
    def join(cls, parts: Iterable[PackedNames]) -> PackedNames:
        """All names of `parts`, in order; each part is needed only until the next one is taken."""
        import numpy as np

        blob, ends = bytearray(), [np.zeros(1, dtype=np.int64)]
        for part in parts:
            ends.append(part.ends[1:] + len(blob))
            blob += part.blob
        return cls._of(bytes(blob), np.concatenate(ends))

    @classmethod
    def _of(cls, blob: bytes, ends: np.ndarray) -> PackedNames:
        made = cls.__new__(cls)
        made.blob, made.ends = blob, ends
        return made

    def __len__(self) -> int:
        return len(self.ends) - 1

    @overload
    def __getitem__(self, i: int) -> str: ...
    @overload
    def __getitem__(self, i: slice) -> PackedNames: ...
    def __getitem__(self, i):
        if isinstance(i, slice):
            return self.take(range(*i.indices(len(self))))
        i = range(len(self))[i]  # negative numbers, and an IndexError beyond the end
        return _decode(self.blob[self.ends[i] : self.ends[i + 1]])

    def __iter__(self) -> Iterator[str]:
        return (_decode(raw) for raw in self.raw())

    def raw(self) -> Iterator[bytes]:
        """Each name's bytes, a block of names at a time: numbers are cheap to take out of a list, not of an array."""
        for start in range(0, len(self), _BLOCK):
            ends = self.ends[start : start + _BLOCK + 1].tolist()
            yield from (self.blob[a:b] for a, b in pairwise(ends))

    def take(self, indices: Sequence[int] | np.ndarray) -> PackedNames:
        """The names at these places, as a packed sequence of their own."""
        import numpy as np

        indices = np.asarray(indices, dtype=np.int64)
        starts, ends = self.ends[:-1][indices], self.ends[1:][indices]
        lengths = np.concatenate([np.zeros(1, dtype=np.int64), ends - starts])
        blob = bytearray()
        for at in range(0, len(indices), _BLOCK):  # join makes a list of what it is given: only a block at a time
            bounds = zip(starts[at : at + _BLOCK].tolist(), ends[at : at + _BLOCK].tolist(), strict=True)
            blob += b"".join([self.blob[a:b] for a, b in bounds])
        return PackedNames._of(bytes(blob), np.cumsum(lengths))

    def order(self) -> np.ndarray | None:
        """Positions that sort the names (by code point, which is the order of UTF-8 bytes); None if they are sorted."""
        import numpy as np

        if all(a <= b for a, b in pairwise(self.raw())):
            return None
        width = int(np.diff(self.ends).max())
        if width * len(self) <= _SORT_BYTES:
            return np.argsort(np.fromiter(self.raw(), dtype=f"S{width}", count=len(self)), kind="stable")
        raw = list(self.raw())  # one very long name must not make all others as wide
        return np.array(sorted(range(len(raw)), key=raw.__getitem__), dtype=np.int64)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PackedNames):
            return (
                self.blob == other.blob and bool((self.ends == other.ends).all()) if len(self) == len(other) else False
            )
        if isinstance(other, list | tuple):
            return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))
        return NotImplemented

    __hash__ = None

    def __repr__(self) -> str:
        return f"PackedNames of {len(self)}"

    @property
    def nbytes(self) -> int:
        return len(self.blob) + self.ends.nbytes


@dataclass(frozen=True, eq=False)
class Members(Sequence[tuple[str, int]]):
    """The pictures of a split of `Data`: places in one split of its source.

    Attributes:
        part: "train", "val" or "test" of the source.
        indices: (N,) int64, places in that part.

    Example:
        >>> import numpy as np
        >>> Members("train", np.array([4, 7]))[1]
        ('train', 7)
    """

    part: str
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i):
        return self.part, int(self.indices[i])

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return ((self.part, i) for i in self.indices.tolist())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Members):
            same = len(self) == len(other) and bool((self.indices == other.indices).all())
            return same and (self.part == other.part or not len(self))
        return list(self) == list(other) if isinstance(other, list | tuple) else NotImplemented

    __hash__ = None


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _blocks(names: Iterable[str]) -> Iterator[list[str]]:
    block: list[str] = []
    for name in names:
        block.append(name)
        if len(block) == _BLOCK:
            yield block
            block = []
    yield block
