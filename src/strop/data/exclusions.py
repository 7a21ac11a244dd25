"""Pictures that a user leaves out: the list that `strop audit --fix` writes, and a source without them. No torch."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .source import Source

if TYPE_CHECKING:
    import numpy as np

_LARGEST, _SHOWN = 500_000_000, 5
log = logging.getLogger("strop")


def read_exclusions(path: Path) -> dict[str, str]:
    """The pictures of an exclusion list and their reasons. Raises UserError with the line that is wrong."""
    try:
        if path.stat().st_size > _LARGEST:
            raise UserError(str(path), f"has more than {_LARGEST:,} bytes. Is it an exclusion list of strop audit?")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(str(path), f"can't be read ({error}). Give a list that strop audit --fix wrote.") from None
    found = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, reason = line.partition("\t")
        try:
            found[json.loads(name) if name.startswith('"') else name] = reason
        except (ValueError, TypeError):
            raise UserError(f"{path}:{number}", f"{name[:60]!r} is no quoted path. Write the path as it is.") from None
    return found


def exclude(source: Source, path: Path) -> tuple[Source, dict[str, str]]:
    """The source without the pictures of an exclusion list, and these with their reasons. The log says how many.

    Raises:
        UserError: the list can't be read, names what the source does not have, or leaves a class of train without
            pictures.
    """
    listed = read_exclusions(path)
    rest, found = leave_out(source, listed)
    unknown = set(listed).difference(*found.values())
    if unknown:
        shown = [f"'{show_name(name)}'" for name in sorted(unknown)[:_SHOWN]]
        more = [f"... and {len(unknown) - _SHOWN} more"] if len(unknown) > _SHOWN else []
        what = f"{len(unknown)} of its {len(listed):,} names are no pictures of '{source.name}':"
        advice = f"Take them out, or list anew: strop audit {source.location or source.name} --fix FILE."
        raise UserError(str(path), "\n  ".join([what, *shown, *more, advice]))
    counts = ", ".join(f"{split} {len(names):,}" for split, names in found.items())
    if found:
        log.info("%s: left out by %s: %s (%s)", source.name, path, f"{len(listed):,}", counts)
    return rest, listed


def show_name(name: str) -> str:
    """Without control characters: a name in a list must not steer a terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)


def leave_out(source: Source, names: Collection[str]) -> tuple[Source, dict[str, list[str]]]:
    """The source without the pictures of these names, and by split which of them it had.

    Raises:
        UserError: a split, or a class of train, is empty without them.
    """
    import numpy as np

    wanted, splits, found = set(names), {}, {}
    for split, pictures in source.splits.items():
        out = np.fromiter((name in wanted for name in pictures.names), bool, len(pictures))
        if not out.any():
            splits[split] = pictures
            continue
        kept = np.flatnonzero(~out)
        found[split] = list(pictures.names.take(np.flatnonzero(out)))
        splits[split] = pictures.take(kept, pictures.labels[kept])
        _refuse_empty(source, split, pictures.labels, splits[split].labels)
    return Source(source.name, source.location, source.classes, splits), found


def _refuse_empty(source: Source, split: str, before: np.ndarray, after: np.ndarray) -> None:
    import numpy as np

    where = source.location or f"data '{source.name}'"
    if not len(after):
        raise UserError(where, f"every picture of {split} is left out. Leave fewer out.")
    lost = [source.classes[label] for label in np.setdiff1d(before, after)] if split == "train" else []
    if lost:
        shown = ", ".join(map(repr, lost[:10])) + (", ..." if len(lost) > 10 else "")
        raise UserError(where, f"no picture of {shown} is left to learn from. Leave fewer out, or the class.")
