"""Which files a pattern names, and which split the name of a file says."""

from __future__ import annotations

import glob
import re
from itertools import islice
from pathlib import Path

from ..errors import UserError
from .source import SPLIT_NAMES

_MOST = 100_000
_SHOWN = 5
_BRACES = re.compile(r"\{([^{}]*)\}")


def expand(pattern: str, where: str) -> list[Path]:
    """The files of a pattern, sorted: `train-{0000..0146}.tar`, `{train,val}-*.tar`, or the path of one file.

    Raises:
        UserError: a file is not there, nothing fits, or the pattern can't be read.
    """
    pattern = str(Path(pattern).expanduser())
    if Path(pattern).is_file():
        return [Path(pattern)]
    found: dict[str, None] = {}
    missing = []
    for name in _expand_braces(pattern, where):
        matches = glob.glob(name) if glob.has_magic(name) else [name]
        matches = [match for match in matches if Path(match).is_file()]
        found |= dict.fromkeys(matches)
        missing += [] if matches else [name]
    if missing:
        more = [f"... and {len(missing) - _SHOWN} more; {len(missing)} in all"] if len(missing) > _SHOWN else []
        lack = "no file fits" if glob.has_magic(missing[0]) else "it is not there"
        raise UserError(where, *(f"{name}: {lack}." for name in missing[:_SHOWN]), *more)
    return [Path(name) for name in sorted(found)]


def _expand_braces(pattern: str, where: str) -> list[str]:
    names = [pattern]
    while any("{" in name for name in names):
        names = list(islice((made for name in names for made in _expand_first(name, where)), _MOST + 1))
        if len(names) > _MOST:
            raise UserError(where, f"stands for more than {_MOST:,} files. Write a narrower pattern.")
    return names


def _expand_first(name: str, where: str) -> list[str]:
    match = _BRACES.search(name)
    if match is None:
        if "{" in name:
            raise UserError(where, f"'{name}' has an open brace. Write for example train-{{0000..0146}}.tar.")
        return [name]
    ends = re.fullmatch(r"(\d{1,9})\.\.(\d{1,9})", match[1])
    if ends is None:
        parts = match[1].split(",")
    elif int(ends[2]) - int(ends[1]) >= _MOST:
        raise UserError(where, f"'{match[0]}' stands for more than {_MOST:,} files. Write a narrower pattern.")
    else:
        parts = [str(n).zfill(len(ends[1])) for n in range(int(ends[1]), int(ends[2]) + 1)]
    return [name[: match.start()] + part + name[match.end() :] for part in parts]


def group_by_split(files: list[Path], where: str) -> dict[str, list[Path]]:
    """Files by the split in their own name (`train-0000.tar`, `x-validation-00000-of-00002.parquet`) or their folder's.

    Where no name says one, all is train.

    Raises:
        UserError: a name says two splits, or none where others say one; no file is train.
    """
    said = {file: _read_split(file.stem) or _read_split(file.parent.name, whole=True) for file in files}
    unclear = [file for file, splits in said.items() if len(splits) > 1]
    if any(said.values()):
        unclear += [file for file, splits in said.items() if not splits]
    if unclear:
        names = ", ".join(f"'{file.name}'" for file in unclear[:_SHOWN])
        raise UserError(where, f"{names}: which split? Put train, val or test, one of them, into the name.")
    grouped: dict[str, list[Path]] = {}
    for file, splits in said.items():
        grouped.setdefault(next(iter(splits), "train"), []).append(file)
    if "train" not in grouped:
        raise UserError(where, f"there is {' and '.join(grouped)}, but no train. Name the files to learn from too.")
    return grouped


def _read_split(name: str, *, whole: bool = False) -> set[str]:
    words = [name.lower()] if whole else re.split(r"[^a-z]+", name.lower())
    return {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
