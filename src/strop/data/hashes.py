"""What was found out about files, remembered between runs: a million pictures are read once, not at every command.

Hashes are kept by (path, size, time of change), everything else by hash; one file a data folder in
$STROP_CACHE/hashes, and one in a folder beside it for each other kind. It only saves time: a file that is damaged,
missing or can't be written is as good as none.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..runs import write_whole
from .home import cache_home

if TYPE_CHECKING:
    import numpy as np

HASH_BYTES = 16
LIMIT_BYTES = 1_000_000_000
_MAGIC_BYTES = 16
_HEAD = _MAGIC_BYTES + HASH_BYTES
_SPARE_BYTES = 32_000_000
# A file changed this shortly before it was looked at may change again within the clock's grain, at equal size.
_RESTLESS_NS = 2_000_000_000


def stamp_files(root: str, paths: Iterable[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Name the state of files without reading them: blake2b of path, size, time of writing and of any change.

    Args:
        root: their folder.
        paths: relative paths.
    Shape:
        Returns: stamps (N, 16) uint8, zeros for a file that must not be remembered (missing, or just written);
        kinds (N,) uint8, 0 for a file, 1 for nothing, 2 for something else, as a pipe that never ends.
    """
    import numpy as np

    stamps, kinds = bytearray(), bytearray()
    before = time.time_ns() - _RESTLESS_NS
    folder = os.fsencode(root) + b"/"
    for path in paths:
        try:
            state = os.stat(folder + path)
        except (OSError, ValueError):  # ValueError: a zero byte in the path
            state = None
        kinds.append(1 if state is None else 0 if stat.S_ISREG(state.st_mode) else 2)
        if kinds[-1] or max(state.st_mtime_ns, state.st_ctime_ns) > before:
            stamps += bytes(HASH_BYTES)
            continue
        numbers = struct.pack("<qqq", state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        stamps += hashlib.blake2b(numbers + path, digest_size=HASH_BYTES).digest()
    return np.frombuffer(stamps, np.uint8).reshape(-1, HASH_BYTES), np.frombuffer(kinds, np.uint8)


class HashStore:
    """What is remembered of the files below one folder: by their stamps their hashes, or values of another kind.

    Args:
        root: the data folder, whose absolute path names the file in the cache; or the name of a set without one.
        kind: "hashes", or what else is remembered: the folder's name, at most 7 letters.
        width: bytes of a value.
        version: of what made the values; those of another version are not found.
    """

    def __init__(self, root: Path | str, kind: str = "hashes", *, width: int = HASH_BYTES, version: str = ""):
        owner = root.encode() if isinstance(root, str) else os.fsencode(root.resolve())
        name = hashlib.blake2b(owner + version.encode(), digest_size=HASH_BYTES).hexdigest()
        self.file = cache_home() / kind / f"{name}.{kind}"
        self._magic = f"strop {kind} 1\n".encode().ljust(_MAGIC_BYTES, b"\0")
        self._rows = _read(self.file, self._magic, HASH_BYTES + width)

    def find(self, stamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shape: stamps (N, 16); returns known (N,) bool and values (N, width) uint8, zeros where not known."""
        import numpy as np

        hashes = np.zeros((len(stamps), self._rows.shape[1] - HASH_BYTES), np.uint8)
        if not len(self._rows) or not len(stamps):
            return np.zeros(len(stamps), bool), hashes
        keys, wanted = _halves(self._rows), _halves(stamps)
        # Two stamps that share the first 64 bits but not the rest would hide one another: that costs a read, no more.
        at = np.minimum(np.searchsorted(keys[:, 0], wanted[:, 0]), len(keys) - 1)
        known = (keys[at] == wanted).all(axis=1) & stamps.any(axis=1)
        hashes[known] = self._rows[at[known], HASH_BYTES:]
        return known, hashes

    def keep(self, stamps: np.ndarray, hashes: np.ndarray) -> None:
        """Remember these values, and as many older ones again; silently nothing where the cache can't be written."""
        import numpy as np

        new = np.concatenate([stamps, hashes], axis=1)[stamps.any(axis=1)]
        if not len(new):
            return
        old = self._rows[~np.isin(_halves(self._rows)[:, 0], _halves(new)[:, 0])][
            : 2 * len(new) + _SPARE_BYTES // new.shape[1]
        ]
        rows = np.concatenate([new, old])
        self._rows = rows[np.argsort(_halves(rows)[:, 0], kind="stable")]
        del new, old, rows  # each of them is 41 MB for the hashes of 1.28 million files
        body = memoryview(self._rows).cast("B")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.file, b"".join([self._magic, _digest(body), body]))
            _make_room(self.file)
        except OSError:
            return


def _read(file: Path, magic: bytes, width: int) -> np.ndarray:
    """The rows of a cache file, stamp and value side by side; none where it is missing, damaged or absurdly large."""
    import numpy as np

    none = np.zeros((0, width), np.uint8)
    try:
        if file.stat().st_size > LIMIT_BYTES:
            return none
        data = file.read_bytes()
    except OSError:
        return none
    body = memoryview(data)[_HEAD:]
    if data[:_MAGIC_BYTES] != magic or len(body) % width or data[_MAGIC_BYTES:_HEAD] != _digest(body):
        return none
    return np.frombuffer(body, np.uint8).reshape(-1, width)


def _make_room(newest: Path) -> None:
    """Remove our oldest files until the folder is within its limit; others' files are not looked at."""
    ours = (
        path for path in newest.parent.glob(f"*{newest.suffix}") if len(path.stem) == 2 * HASH_BYTES and path != newest
    )
    files = [(path.stat(), path) for path in ours]
    total = newest.stat().st_size + sum(state.st_size for state, _ in files)
    for state, path in sorted(files, key=lambda pair: pair[0].st_mtime_ns):
        if total <= LIMIT_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= state.st_size


def _halves(rows: np.ndarray) -> np.ndarray:
    """The first 16 bytes of each row as two integers, (N, 2) uint64."""
    import numpy as np

    return np.ascontiguousarray(rows[:, :HASH_BYTES]).view(np.uint64)


def _digest(body: bytes | memoryview) -> bytes:
    return hashlib.blake2b(body, digest_size=HASH_BYTES).digest()
