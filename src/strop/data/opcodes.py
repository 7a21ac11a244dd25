"""Read the records in which CIFAR's Python version is stored, without unpickling: nothing is imported or called.

Such a file is a program for a stack machine that may call anything. This reader knows the few instructions that a
dictionary of numbers, texts and uint8 arrays needs; the three names that an array needs are compared as text, and
whatever else is in a file is refused.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_MOST_STEPS = 2_000_000
_MARK = object()
_RECONSTRUCT = b"numpy.core.multiarray _reconstruct"
_NDARRAY = b"numpy ndarray"
_DTYPE = b"numpy dtype"


@dataclass(frozen=True)
class _Name:
    """A name that the file mentions; only ever compared."""

    text: bytes


@dataclass
class _Array:
    """An array that is announced; its values come with a later instruction."""

    values: np.ndarray | None = None


class _Uint8:
    """The one type that an array may have."""


def read_record(data: bytes) -> dict[str, Any]:
    """The dictionary in a file: texts as bytes, whole numbers, lists, and arrays (…) uint8 without a copy.

    Raises:
        ValueError: an instruction, name or type that such a record does not need, or the file is cut short.

    Example:
        >>> read_record(b"\\x80\\x02}(U\\x06labels](K\\x03K\\x07eu.")
        {'labels': [3, 7]}
    """
    try:
        top = _Machine(data).run()
    except (IndexError, struct.error, TypeError, KeyError) as error:
        raise ValueError(f"the file is cut short or damaged ({type(error).__name__})") from error
    if not isinstance(top, dict):
        raise ValueError("the file holds no dictionary")
    return {key.decode("latin-1"): item.values if isinstance(item, _Array) else item for key, item in top.items()}


class _Machine:
    """The stack machine, cut down to what holds data."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(_MOST_STEPS):
            code = self._take(1)
            if code == b".":
                return self.stack.pop()
            step = _STEPS.get(code)
            if step is None:
                raise ValueError(f"instruction {code!r} at byte {self.at - 1} has no place in a record of data")
            step(self)
        raise ValueError(f"the file has more than {_MOST_STEPS:,} instructions")

    def _take(self, n: int) -> bytes:
        if self.at + n > len(self.data):
            raise ValueError("the file is cut short")
        part = self.data[self.at : self.at + n]
        self.at += n
        return part

    def _number(self, form: str) -> int:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _to_mark(self) -> list[Any]:
        """What lies above the last mark; both leave the stack."""
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise ValueError("a mark is missing")
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def _last(self, n: int) -> list[Any]:
        items = self.stack[len(self.stack) - n :]
        if len(items) < n or any(item is _MARK for item in items):
            raise ValueError("the stack is too short")
        del self.stack[len(self.stack) - n :]
        return items

    def protocol(self) -> None:
        if self._number("<B") != 2:
            raise ValueError("the file is of another protocol than 2")

    def text(self, form: str) -> None:
        self.stack.append(self._take(self._number(form)))

    def name(self) -> None:
        module, name = self._line(), self._line()
        text = module + b" " + name
        if text not in (_RECONSTRUCT, _NDARRAY, _DTYPE):
            raise ValueError(f"the file names {text.decode('latin-1')!r}, which a record of data does not need")
        self.stack.append(_Name(text))

    def _line(self) -> bytes:
        end = self.data.index(b"\n", self.at, self.at + 200)
        line = self.data[self.at : end]
        self.at = end + 1
        return line

    def append(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("something else than a list is lengthened")
        self.stack[-1].extend(items)

    def set(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict) or len(items) % 2:
            raise ValueError("something else than a dictionary is filled")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, bytes):
                raise ValueError("a key is no text")
            self.stack[-1][key] = value

    def call(self) -> None:
        """What a call would make: an array to be, or the type of one; never a call."""
        name, arguments = self._last(2)
        match name, arguments:
            case _Name(text=text), (_Name(text=made), (0,), b"b") if (text, made) == (_RECONSTRUCT, _NDARRAY):
                self.stack.append(_Array())
            case _Name(text=text), (b"u1", *_) if text == _DTYPE:
                self.stack.append(_Uint8())
            case _:
                raise ValueError("the file calls something that a record of data does not need")

    def build(self) -> None:
        [state] = self._last(1)
        match self.stack[-1], state:
            case _Uint8(), (int(), *_):
                return
            case _Array() as array, (1, tuple() as shape, _Uint8(), bool() as by_columns, bytes() as raw):
                array.values = _shape(raw, shape, by_columns)
            case _:
                raise ValueError("the file fills something else than an array of bytes")


def _shape(raw: bytes, shape: tuple, by_columns: bool) -> np.ndarray:
    import numpy as np

    if not all(isinstance(n, int) and n >= 0 for n in shape) or math.prod(shape) != len(raw):
        raise ValueError(f"an array of shape {shape} has {len(raw)} bytes")
    return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if by_columns else "C")


_STEPS = {
    b"\x80": _Machine.protocol,
    b"}": lambda machine: machine.stack.append({}),
    b"]": lambda machine: machine.stack.append([]),
    b")": lambda machine: machine.stack.append(()),
    b"(": lambda machine: machine.stack.append(_MARK),
    b"N": lambda machine: machine.stack.append(None),
    b"\x88": lambda machine: machine.stack.append(True),
    b"\x89": lambda machine: machine.stack.append(False),
    b"K": lambda machine: machine.stack.append(machine._number("<B")),
    b"M": lambda machine: machine.stack.append(machine._number("<H")),
    b"J": lambda machine: machine.stack.append(machine._number("<i")),
    b"U": lambda machine: machine.text("<B"),
    b"T": lambda machine: machine.text("<I"),
    b"q": lambda machine: machine.memo.__setitem__(machine._number("<B"), machine.stack[-1]),
    b"r": lambda machine: machine.memo.__setitem__(machine._number("<I"), machine.stack[-1]),
    b"h": lambda machine: machine.stack.append(machine.memo[machine._number("<B")]),
    b"j": lambda machine: machine.stack.append(machine.memo[machine._number("<I")]),
    b"t": lambda machine: machine.stack.append(tuple(machine._to_mark())),
    b"\x85": lambda machine: machine.stack.append(tuple(machine._last(1))),
    b"\x86": lambda machine: machine.stack.append(tuple(machine._last(2))),
    b"\x87": lambda machine: machine.stack.append(tuple(machine._last(3))),
    b"a": lambda machine: machine.append(machine._last(1)),
    b"e": lambda machine: machine.append(machine._to_mark()),
    b"s": lambda machine: machine.set(machine._last(2)),
    b"u": lambda machine: machine.set(machine._to_mark()),
    b"c": _Machine.name,
    b"R": _Machine.call,
    b"b": _Machine.build,
}
