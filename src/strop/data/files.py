"""From relative paths to a split of files, each looked at once: there, readable, and a picture by its first bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from .formats import HEAD_BYTES, explain_no_picture
from .hashes import HASH_BYTES, HashStore, stamp_files
from .packed import PackedNames
from .source import FileSplit, Split

if TYPE_CHECKING:
    import numpy as np

_BLOCK, _THREADS = 64, 4
_KINDS = (None, "it is not there", "it is a folder, a pipe or a device; take it out")


def open_files(
    root: Path,
    names: PackedNames,
    labels: np.ndarray,
    *,
    paths: PackedNames | None = None,
    groups: PackedNames | None = None,
    store: HashStore | None = None,
) -> tuple[FileSplit, Iterator[tuple[int, str]]]:
    """Make a split, and look at its files while the second result is read: (place, what is wrong).

    A file that can be read and is no picture by its first bytes is not among these: it stands in the split's
    `no_pictures`, because what becomes of it is decided with those that can't be decoded. A file whose content is
    remembered and that has not changed since is not opened again.

    Args:
        root, names, labels, paths, groups: as for `FileSplit`.
        store: the remembered hashes of `root`.
    """
    spelt = names if paths is None else paths
    stamps, kinds = stamp_files(os.fspath(root), spelt.raw())
    store = HashStore(root) if store is None else store
    known, _ = store.find(stamps)
    split = FileSplit(root, names, labels, paths=paths, groups=groups, stamps=stamps)
    return split, _look(split, kinds, known)


def _look(split: FileSplit, kinds: np.ndarray, known: np.ndarray) -> Iterator[tuple[int, str]]:
    for i in (~known).nonzero()[0].tolist():
        reason = _KINDS[kinds[i]]
        if reason is None and any("\ud800" <= letter <= "\udfff" for letter in split.paths[i]):
            reason = "its name is not UTF-8; rename it"
        if reason is None:
            try:
                with split.open(i) as opened:
                    no_picture = explain_no_picture(opened.read(HEAD_BYTES))
            except OSError as error:
                reason = f"it can't be read ({error.strerror or error})"
            else:
                if no_picture:
                    split.no_pictures[i] = no_picture
        if reason:
            yield i, reason


def hash_all(splits: Mapping[str, Split]) -> dict[str, np.ndarray]:
    """Content hash of every picture of a source, by split, (N, 16) uint8.

    Files whose hash is remembered are not read; the others are, by a few threads, and are remembered even where the
    reading is interrupted.

    Raises:
        UserError: a file can't be read.
    """
    import numpy as np

    found = {name: np.zeros((len(split), HASH_BYTES), np.uint8) for name, split in splits.items()}
    done = {name: np.zeros(len(split), bool) for name, split in splits.items()}
    stamps = {name: split.stamps for name, split in splits.items() if getattr(split, "stamps", None) is not None}
    store = HashStore(splits[next(iter(stamps))].root) if stamps else None
    for name in stamps:
        done[name], found[name] = store.find(stamps[name])
    before = sum(int(mask.sum()) for mask in done.values())
    try:
        for name, split in splits.items():
            _hash_rest(split, found[name], done[name])
    finally:
        if stamps and sum(int(mask.sum()) for mask in done.values()) > before:
            chosen = [(stamps[name][done[name]], found[name][done[name]]) for name in stamps]
            store.keep(*map(np.concatenate, zip(*chosen, strict=True)))
    return found


def _hash_rest(split: Split, found: np.ndarray, done: np.ndarray) -> None:
    """Reading waits for the disk and hashing lets other threads run, so a few of them share the work."""
    import numpy as np

    left = np.flatnonzero(~done)
    blocks = [left[at : at + _BLOCK] for at in range(0, len(left), _BLOCK)]

    def hash_block(block: np.ndarray) -> bytes:
        return b"".join(bytes.fromhex(split.content_hash(i)) for i in block.tolist())

    with ThreadPoolExecutor(_THREADS, "hash") as pool:
        for block, hashes in zip(blocks, pool.map(hash_block, blocks), strict=True):
            found[block] = np.frombuffer(hashes, np.uint8).reshape(-1, HASH_BYTES)
            done[block] = True
