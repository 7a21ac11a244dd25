"""Where the files inside a tar lie: a walk over its headers, without unpacking, that believes nothing.

Source: POSIX.1-2017, pax interchange format (ustar and pax headers); GNU tar manual, basic tar format (long names,
sizes in base 256).
Unlike tarfile: keeps nothing of what it passed, refuses links and devices, and takes an archive without its closing
blocks for what it is, cut short; so a download that broke off between two files can't lose pictures in silence.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import UserError
from .rows import show

BLOCK = 512
_READ = 8 * BLOCK  # a header and the beginning of its file in one go: labels are short
_ZEROS = bytes(BLOCK)
_LONGEST_EXTRA = 1_000_000
_FILES, _FOLDER, _PAX, _GNU_NAME, _PASSED_OVER = b"0\0" + b"7", b"5", b"x", b"L", b"gK"
_EXTRA = _PAX + _GNU_NAME + _PASSED_OVER
_KINDS = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe"}


class Member(NamedTuple):
    """A file in the archive: its name as it is stored, its place, and up to 3,584 bytes of its beginning."""

    name: str
    start: int
    size: int
    head: bytes

    def read(self, file: int) -> bytes:
        """All of it, from the opened archive."""
        return self.head if self.size <= len(self.head) else os.pread(file, self.size, self.start)


class _Broken(Exception):
    """What is wrong with an archive, without its name."""


def read_members(file: int, where: str) -> Iterator[Member]:
    """The regular files of an archive, in order; folders are passed over.

    Args:
        file: descriptor of the opened archive.
        where: what a message calls it.
    Raises:
        UserError: it is no tar, is cut short or damaged, or holds something other than files and folders.
    """
    try:
        yield from _walk(file, os.fstat(file).st_size)
    except _Broken as error:
        raise UserError(where, str(error)) from None
    except OSError as error:
        raise UserError(where, f"can't be read: {error.strerror or error}.") from error


def _walk(file: int, length: int) -> Iterator[Member]:
    at, said = 0, {}  # what an extra header says about the next member
    while True:
        block = os.pread(file, _READ, at)
        header, head = block[:BLOCK], block[BLOCK:]
        if len(header) < BLOCK:
            raise _cut_short(f"its closing blocks are missing at byte {at:,}" if length else "it has 0 bytes")
        if header == _ZEROS:
            _check_end(file, at, length)
            return
        kind, name, size = _read_header(header, at)
        if kind not in _EXTRA:
            name, size = said.get("path", name), said.get("size", size)
        start = at + BLOCK
        at = start + -(-size // BLOCK) * BLOCK
        if at > length:
            raise _cut_short(
                f"{show(name)} at byte {start:,} needs {size:,} bytes, {max(0, length - start):,} are there"
            )
        member = Member(name, start, size, head[:size])
        if kind in (_PAX, _GNU_NAME):
            said |= _read_extra(kind, member, file)
            continue
        if kind and kind in _FILES:
            yield member
        elif kind != _FOLDER and kind not in _PASSED_OVER:
            raise _Broken(f"{show(name)} is {_KINDS.get(kind, 'no plain file')}. Only plain files are read from a tar.")
        said = said if kind in _PASSED_OVER else {}


def _read_header(header: bytes, at: int) -> tuple[bytes, str, int]:
    """Kind, name and size; the sum over all bytes tells a header from anything else."""
    try:
        total = sum(header) - sum(header[148:156]) + 8 * ord(" ")
        if _read_number(header[148:156]) != total:
            raise ValueError
        size = _read_number(header[124:136])
    except ValueError:
        start = "is no tar" if not at else f"is damaged: there is no header at byte {at:,}"
        packed = "; a compressed tar has to be unpacked to .tar" if header[:2] in (b"\x1f\x8b", b"BZ", b"(\xb5") else ""
        raise _Broken(f"{start}{packed}. Fetch it again, or write it again.") from None
    name, prefix = (part.partition(b"\0")[0] for part in (header[:100], header[345:500]))
    if header[257:263] == b"ustar\0" and prefix:
        name = prefix + b"/" + name
    return header[156:157], name.decode("utf-8", "surrogateescape"), size


def _read_number(field: bytes) -> int:
    """Octal digits, or base 256 after a first byte of 128."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    if digits.strip(b"01234567"):  # int() would take a sign
        raise ValueError
    return int(digits or b"0", 8)


def _read_extra(kind: bytes, member: Member, file: int) -> dict[str, str | int]:
    """The name and size that an extra header gives the next member."""
    if member.size > _LONGEST_EXTRA:
        raise _Broken(f"its header at byte {member.start:,} has {member.size:,} bytes. Write the archive again.")
    content = member.read(file)
    if kind == _GNU_NAME:
        return {"path": content.partition(b"\0")[0].decode("utf-8", "surrogateescape")}
    said: dict[str, str | int] = {}
    while content:
        digits, _, _ = content.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 8 else 0
        key, found, value = content[len(digits) + 1 : length - 1].partition(b"=")
        sound = length and found and content[length - 1 : length] == b"\n" and not key.startswith(b"GNU.sparse")
        if not sound or (key == b"size" and not (value.isdigit() and len(value) < 20)):
            raise _Broken(f"its extra header at byte {member.start:,} is not readable. Write the archive again.")
        if key == b"path":
            said["path"] = value.decode("utf-8", "surrogateescape")
        elif key == b"size":
            said["size"] = int(value)
        content = content[length:]
    return said


def _check_end(file: int, at: int, length: int) -> None:
    """After the closing blocks come zeros; another archive behind them would be lost in silence."""
    while at < length:
        block = os.pread(file, 1 << 20, at)
        if not block or block.strip(b"\0"):
            raise _Broken(f"there is more behind its end at byte {at:,}. Write tars put together by cat one by one.")
        at += len(block)


def _cut_short(reason: str) -> _Broken:
    return _Broken(f"is cut short: {reason}. Fetch it again, or write it again.")
