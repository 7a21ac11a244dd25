"""Named sets whose files are listed: names in a list of the set, pictures in a folder beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from .files import open_files
from .hashes import HashStore
from .packed import PackedNames
from .source import FileSplit

_LIMIT_BYTES = 100_000_000
_SHOWN = 5
_PLAIN = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)?")


def open_listed(root: Path, rows: Mapping[str, Sequence[tuple[str, int]]]) -> dict[str, FileSplit]:
    """The splits of a set from (path below `root`, label), each in the order of its names.

    Raises:
        UserError: no row at all in a split, or files that are missing or no pictures; the first five and how many.
    """
    import numpy as np

    store, splits = HashStore(root), {}
    for split, listed in rows.items():
        if not listed:
            raise UserError(str(root), f"the list of {split} holds no picture. Fetch the set again.")
        ordered = sorted(listed)
        labels = np.array([label for _, label in ordered], np.int64)
        splits[split], wrong = open_files(root, PackedNames(name for name, _ in ordered), labels, store=store)
        found = [f"'{ordered[i][0]}': {reason}" for i, reason in sorted([*wrong, *splits[split].no_pictures.items()])]
        if found:
            more = [f"... and {len(found) - _SHOWN} more; {len(found)} in all"] if len(found) > _SHOWN else []
            raise UserError(f"{root}, {split}", *found[:_SHOWN], *more, "Fetch the set again.")
    return splits


def read_list(file: Path) -> str:
    """The text of a list; at most 100 MB. Raises UserError where it can't be read."""
    try:
        if file.stat().st_size > _LIMIT_BYTES:
            raise UserError(str(file), "is larger than 100 MB. Fetch it again.")
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(str(file), f"can't be read: {error.strerror or error}. Fetch it again.") from error
    except UnicodeDecodeError as error:
        raise UserError(str(file), "is not text in UTF-8. Fetch it again.") from error


def read_json_list(file: Path) -> Any:
    """The value of a JSON file; at most 100 MB. Raises UserError where it can't be read."""
    try:
        return json.loads(read_list(file))
    except (ValueError, RecursionError) as error:
        raise UserError(str(file), f"is not readable as JSON ({error}). Fetch it again.") from error


def require_plain(file: Path, name: str) -> str:
    """A name from a list, if it is one: letters, digits and at most one "/"; anything else might lead elsewhere."""
    if not isinstance(name, str) or not _PLAIN.fullmatch(name):
        raise UserError(str(file), f"{name!r} is no name of a picture. Fetch it again.")
    return name
