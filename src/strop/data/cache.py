"""Decoded pictures in one file on disk, read through a memory map; a bounded folder of such files. No torch.

    <folder>/<key>.pixels    4096 bytes of JSON; the pixels of picture 0, 1, ...; a row (offset, height, width) each

`<key>.draft` is a file under way. Locks (flock) are held on the files themselves, so the death of a process frees
them: who writes holds a draft alone, who reads holds a file shared, and only what nobody holds is ever removed.
"""

from __future__ import annotations

import errno
import fcntl
import json
import mmap
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FORMAT = 1
_HEAD_BYTES = 4096
_OURS = re.compile(r"[0-9a-f]{32}\.(pixels|draft)")
_ROW = np.dtype("<i8")
_PATIENCE_SECONDS = 0.2


@dataclass(frozen=True)
class Packed:
    """Pictures of any shapes in one array.

    Attributes:
        flat: (bytes,) uint8, in memory or mapped; read only.
        table: (N, 3) int64, each picture's offset in `flat`, height and width.
        channels: 1 or 3.
    """

    flat: np.ndarray
    table: np.ndarray
    channels: int

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, i: int) -> np.ndarray:
        """Picture i as it was packed, a view. Shape: (h, w, channels)."""
        offset, height, width = self.table[i].tolist()
        return self.flat[offset : offset + height * width * self.channels].reshape(height, width, self.channels)


@dataclass(frozen=True)
class Chunk:
    """The next pictures to pack: their bytes one after another, and (n, 2) heights and widths."""

    flat: np.ndarray
    shapes: np.ndarray


def cache_folder() -> Path:
    """$STROP_CACHE/pictures; ~/.cache/strop/pictures where it is not set."""
    return Path(os.environ.get("STROP_CACHE") or "~/.cache/strop").expanduser() / "pictures"


def pack(chunks: Iterable[Chunk], channels: int) -> Packed:
    """Put chunks together in memory; each is freed once it is copied."""
    waiting = list(chunks)
    table = _make_table([chunk.shapes for chunk in waiting], channels)
    flat = np.empty(sum(chunk.flat.size for chunk in waiting), np.uint8)
    end = flat.size
    while waiting:
        chunk = waiting.pop()
        flat[end - chunk.flat.size : end] = chunk.flat
        end -= chunk.flat.size
    return Packed(flat, table, channels)


def open_or_write(
    folder: Path, key: str, *, n: int, channels: int, chunks: Iterable[Chunk], expected_bytes: int, limit_bytes: float
) -> Packed:
    """Map the file of `key`; write it first where it is not there. A second process waits for the first one's file.

    Args:
        folder: of the cache; made where it is missing.
        key: 32 hex digits that stand for everything the pixels depend on.
        n, channels: of the pictures.
        chunks: all pictures in order; taken only where the file must be written.
        expected_bytes: what they will need, about.
        limit_bytes: of the folder. The files not used for longest make room; nothing else is touched.
    Raises:
        OSError: the disk is full, the pictures don't fit into the limit, the folder can't be written.
    """
    path, draft = folder / f"{key}.pixels", folder / f"{key}.draft"
    found = _map(path, key, n, channels)
    if found is not None:
        return found
    folder.mkdir(parents=True, exist_ok=True)
    with _claim(draft) as file:
        found = _map(path, key, n, channels)  # by another process, while this one waited
        if found is None:
            room = _make_room(folder, expected_bytes, limit_bytes, keep=draft)
            _write(file, key, n, channels, chunks, room)
            fcntl.flock(file, fcntl.LOCK_SH)  # readers share it from the moment it has its name
            os.replace(draft, path)
            _sync_folder(folder)
            found = _map(path, key, n, channels)
    if found is None:
        raise OSError(errno.EIO, "the file that was just written can't be read", str(path))
    return found


def _map(path: Path, key: str, n: int, channels: int) -> Packed | None:
    """A finished file, None where there is none or it is not whole. Marks it as used now."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH)  # the map keeps a copy of the descriptor, and with it the lock
        size = os.fstat(file).st_size
        expected = {"format": FORMAT, "key": key, "n": n, "channels": channels, "bytes": size}
        if size < _HEAD_BYTES or _read_head(file) != expected:
            return None
        mapped = np.frombuffer(mmap.mmap(file, 0, access=mmap.ACCESS_READ), np.uint8)
        with suppress(OSError):  # somebody else's file may be used, but not marked
            os.utime(file)
    finally:
        os.close(file)
    return _split_file(mapped, n, channels)


def _split_file(mapped: np.ndarray, n: int, channels: int) -> Packed | None:
    at = mapped.size - 3 * n * _ROW.itemsize
    if at < _HEAD_BYTES:
        return None
    table = mapped[at:].view(_ROW).reshape(n, 3).astype(np.int64)
    flat = mapped[_HEAD_BYTES:at]
    sizes = table[:, 1] * table[:, 2] * channels
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    side = 1 << 20  # no side is as long, so the products above can't have wrapped around
    sound = (table[:, 1:] > 0).all() and (table[:, 1:] < side).all()
    if not sound or (table[:, 0] != offsets[:-1]).any() or not 0 <= flat.size - offsets[-1] < _ROW.itemsize:
        return None
    return Packed(flat, table, channels)


def _read_head(file: int) -> dict | None:
    try:
        return json.loads(os.pread(file, _HEAD_BYTES, 0))
    except ValueError:
        return None


def _write(file: int, key: str, n: int, channels: int, chunks: Iterable[Chunk], room: float) -> None:
    """The pixels, the table, and last the header that makes the file whole."""
    shapes, size = [], 0
    with open(file, "r+b", closefd=False) as out:
        out.truncate(0)
        out.seek(_HEAD_BYTES)
        for chunk in chunks:
            size += chunk.flat.size
            if size > room:
                raise _too_large(size, room)
            out.write(chunk.flat)
            shapes.append(chunk.shapes)
        table = _make_table(shapes, channels)
        if len(table) != n:
            raise ValueError(f"{len(table)} pictures were packed, {n} were announced")
        out.write(bytes(-size % _ROW.itemsize))
        out.write(table.astype(_ROW).tobytes())
        head = {"format": FORMAT, "key": key, "n": n, "channels": channels, "bytes": out.tell()}
        out.flush()
        os.fsync(file)
        out.seek(0)
        out.write(json.dumps(head).encode().ljust(_HEAD_BYTES))
        out.flush()
        os.fsync(file)


def _make_table(shapes: list[np.ndarray], channels: int) -> np.ndarray:
    sides = np.concatenate(shapes).astype(np.int64) if shapes else np.empty((0, 2), np.int64)
    sizes = sides.prod(1) * channels
    return np.column_stack([np.cumsum(sizes) - sizes, sides])


@contextmanager
def _claim(draft: Path) -> Iterator[int]:
    """The draft, opened and held by this process alone; removed on the way out unless it was renamed."""
    file = _open_alone(draft)
    while file is None:  # in small steps: a signal must be able to end the waiting
        time.sleep(_PATIENCE_SECONDS)
        file = _open_alone(draft)
    try:
        yield file
    finally:
        if _is_at(file, draft):
            draft.unlink()
        os.close(file)


def _open_alone(draft: Path) -> int | None:
    """None where another process holds the draft, or has just renamed or removed it."""
    file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if _lock_alone(file) and _is_at(file, draft):
            return file
    except BaseException:
        os.close(file)
        raise
    os.close(file)
    return None


def _lock_alone(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _make_room(folder: Path, needed: int, limit_bytes: float, keep: Path) -> float:
    """Remove drafts of dead processes, then the files not used for longest, until `needed` bytes fit.

    Returns how many bytes the other files leave of the limit.
    """
    if needed > limit_bytes:
        raise _too_large(needed, limit_bytes)
    ours = [path for path in folder.iterdir() if _OURS.fullmatch(path.name) and path != keep]
    found = {path: status for path in ours if (status := _status(path)) is not None}
    total = sum(status.st_size for status in found.values())
    for path, status in sorted(found.items(), key=lambda item: (item[0].suffix != ".draft", item[1].st_mtime_ns)):
        if path.suffix != ".draft" and total + needed <= limit_bytes:
            break
        if _remove_unused(path):
            total -= status.st_size
    if total + needed > limit_bytes:
        raise _too_large(total + needed, limit_bytes)
    free = os.statvfs(folder)
    if needed > free.f_bavail * free.f_frsize:
        raise OSError(errno.ENOSPC, f"the disk has {free.f_bavail * free.f_frsize / 1e9:.3g} GB left", str(folder))
    return limit_bytes - total


def _status(path: Path) -> os.stat_result | None:
    with suppress(FileNotFoundError):
        status = os.stat(path, follow_symlinks=False)
        return status if stat.S_ISREG(status.st_mode) else None
    return None


def _remove_unused(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not _lock_alone(file) or not _is_at(file, path):
            return False
        path.unlink()
        return True
    except OSError:
        return False
    finally:
        os.close(file)


def _too_large(size: float, limit_bytes: float) -> OSError:
    return OSError(
        errno.EFBIG, f"{size / 1e9:.3g} GB of decoded pictures are above the limit of {limit_bytes / 1e9:g} GB"
    )


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
