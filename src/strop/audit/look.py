"""Look at every picture of an audit once; a broken one is written down and never stops the others."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import BinaryIO

import numpy as np
from PIL import Image

from ..data.formats import HEAD_BYTES, explain_no_picture
from ..data.look import Looks, describe
from ..data.picture import MAX_FILE_BYTES
from ..errors import UserError
from .collection import Collection

_CHUNK = 64


def look_at_all(
    collection: Collection, *, quick: bool, threads: int, progress: Callable[[int, int], None] | None = None
) -> Looks:
    """Look at every picture; a broken one is written down and never stops the others.

    Args:
        quick: read headers and hash files, decode nothing.
        threads: how many read and decode at a time; each holds one decoded picture (50 million pixels at most).
        progress: called with (pictures done, pictures in all) now and then.
    """
    looks = Looks(len(collection), quick)
    starts = range(0, len(collection), _CHUNK)

    def look_at_chunk(start: int) -> int:
        stop = min(start + _CHUNK, len(collection))
        for i in range(start, stop):
            _look_at(collection, looks, i)
        return stop - start

    done = 0
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # they are refused by name below
        warnings.simplefilter("ignore", UserWarning)  # Pillow's remarks on broken EXIF blocks and palettes
        for count in pool.map(look_at_chunk, starts):
            done += count
            if progress is not None:
                progress(done, len(collection))
    return looks


def _look_at(collection: Collection, looks: Looks, i: int) -> None:
    try:
        with collection.open(i) or nullcontext() as file:
            fault = file and check_file(file)
        if fault:
            looks.broken[i] = fault
            return
        content = collection.content(i)
        if looks.quick:
            height, width, channels = collection.shape(i)
            looks.size[i], looks.grey[i] = (height, width), channels == 1
        else:
            looks.rows[i] = describe(collection.pixels(i))
        looks.content[i] = np.void(bytes.fromhex(content))
    except (UserError, OSError) as error:
        looks.broken[i] = _name_fault(error)


def check_file(file: BinaryIO) -> tuple[str, str] | None:
    """(kind, reason) for bytes that must not be decoded as a picture; None for what may be tried."""
    head = file.read(HEAD_BYTES)
    size = file.seek(0, os.SEEK_END)
    if size > MAX_FILE_BYTES:
        return "too-large", f"{size:,} bytes are more than the {MAX_FILE_BYTES:,} that are read"
    if not head:
        return "empty-file", "0 bytes"
    reason = explain_no_picture(head)
    return ("not-a-picture", reason) if reason else None


def _name_fault(error: UserError | OSError) -> tuple[str, str]:
    """The kind of finding that an error in reading is."""
    if isinstance(error, OSError):
        return "unreadable", error.strerror or str(error)
    reason, cause = error.problems[0], error.__cause__
    if reason.startswith("can't be read"):
        return "unreadable", reason
    if isinstance(cause, Image.DecompressionBombError) or (cause is None and "pixels are more than" in reason):
        return "too-large", reason
    if "truncated" in reason.lower():
        return "truncated", reason
    return "corrupt", reason
