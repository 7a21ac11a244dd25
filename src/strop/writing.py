"""Files that are whole or not there, and what is said where the disk refuses them."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

FULL = (errno.ENOSPC, errno.EDQUOT)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that after a crash either the old content or all of the new is there."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with open(draft, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)  # on a full disk it would keep the space that is missing
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def describe_failure(error: OSError, path: Path, size: int | None = None) -> str:
    """Why something could not be written, in one sentence."""
    if error.errno not in FULL:
        return f"{path}: can't be written ({error.strerror or error})."
    needed = f"need {in_megabytes(size)} MB in {path}" if size else f"writing into {path} failed"
    return f"disk full: {needed}, {in_megabytes(shutil.disk_usage(path).free)} MB are free. Make room."


def in_megabytes(size: int) -> str:
    """A size on the screen, without its unit."""
    return f"{max(size / 1e6, 0.1):,.1f}" if size < 1e7 else f"{size / 1e6:,.0f}"


def write_json(path: Path, value: Any) -> None:
    """Write JSON; NaN and infinity are refused, because they are no JSON and no result."""
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n")
