"""Where data sets and caches live, and the one way in which a named set is looked for."""

from __future__ import annotations

import http.client
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ..errors import UserError

# URLError is an OSError; RuntimeError: no mirror answered, or a checksum does not fit.
_FETCH_ERRORS = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    http.client.HTTPException,
)


def data_home() -> Path:
    """$STROP_DATA, else ~/.cache/strop: what is downloaded, and where sets may be put by hand."""
    return Path(os.environ.get("STROP_DATA") or "~/.cache/strop").expanduser()


def cache_home() -> Path:
    """$STROP_CACHE, else ~/.cache/strop: what can be made again at any time."""
    return Path(os.environ.get("STROP_CACHE") or "~/.cache/strop").expanduser()


def look_for(
    name: str, layouts: Sequence[str], holds: Callable[[Path], bool], more: Iterable[Path] = ()
) -> Path | None:
    """The first folder that holds a set: $STROP_DATA/NAME, torchvision's layouts there and in ./data, then `more`."""
    below = [root / layout for root in (data_home(), Path("data")) for layout in layouts]
    return next((place for place in (data_home() / name, *below, *more) if holds(place)), None)


def find_set(
    name: str,
    layouts: Sequence[str],
    holds: Callable[[Path], bool],
    *,
    files: str,
    fetch: Callable[[Path], object] | None = None,
    more: Iterable[Path] = (),
    hint: str = "",
) -> Path:
    """The folder that holds a set, as `look_for` finds it; else it is fetched into $STROP_DATA.

    Args:
        name: of the set; also of the folder in which a user may put the files.
        layouts: folders in which torchvision keeps it, below its root.
        holds: whether all files of the set are in a folder.
        files: what to put there by hand, in words.
        fetch: downloads the set below the folder given to it; None where nobody may download it.
        more: further folders to look in.
        hint: another way to get it, in words.
    Raises:
        UserError: it is nowhere and can't be fetched; the message says which files to put where.
    """
    found = look_for(name, layouts, holds, more)
    if found is not None:
        return found
    reason = "strop can't download it"
    if fetch is not None:
        reason = _try(fetch)
        found = look_for(name, layouts, holds)
        if found is not None:
            return found
    ways = f"Put {files} into {data_home() / name}" + (f", or {hint}." if hint else ".")
    raise UserError(name, f"it is not on this machine and {reason}. {ways}")


def _try(fetch: Callable[[Path], object]) -> str:
    """Fetch into $STROP_DATA; what is wrong if the set is not there afterwards."""
    try:
        data_home().mkdir(parents=True, exist_ok=True)
        fetch(data_home())
    except _FETCH_ERRORS as error:
        return f"downloading it failed ({error})"
    return "the download left no such files"
