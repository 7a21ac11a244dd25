"""What strop predict reads: files, folders, patterns, standard input, and pictures of an HTTP server. No torch."""

from __future__ import annotations

import glob
import http.client
import io
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import quote, urlsplit

from ..data.formats import EXTENSIONS, HEAD_BYTES, explain_no_picture, is_picture_name
from ..data.picture import MAX_FILE_BYTES, open_regular, unreadable
from ..errors import UserError

STDIN, MOST_PATHS = "-", 1_000_000
MOST_FETCHED, LONGEST_WAIT, LONGEST_FETCH = 50_000_000, 10.0, 30.0  # bytes; seconds without an answer, and in all
BLOCK = 1 << 16


class Input(NamedTuple):
    """One encoded picture: what it is called, and how to open it.

    Attributes:
        folders: the names of the folders that it lies in, the nearest first, up to the one that was searched (of a
            relative path: the working folder); none for what is no file of this machine.
    """

    name: str
    open: Callable[[], BinaryIO]
    folders: tuple[str, ...] = ()


def find_inputs(words: list[str]) -> list[Input]:
    """The pictures that are named. Raises UserError with every word that gives none.

    Args:
        words: files, folders (searched through), patterns with *, ? or [] (** for folders), http:// or https:// URLs,
            and "-": standard input, which is a picture or a list of paths, a line each (or with NUL between them).
    """
    found: list[Input] = []
    problems: list[str] = []
    for word in words:
        if word == STDIN:
            found += _read_stdin(sys.stdin.buffer, problems)
        elif word.lower().startswith(("http://", "https://")):
            found.append(Input(word, lambda url=word: fetch(url)))
        else:
            found += _find_files(word, problems)
    if problems:
        raise UserError("predict", *problems[:20])
    return found


def _find_files(word: str, problems: list[str]) -> Iterator[Input]:
    path = Path(word)
    try:
        there, is_folder = path.exists(), path.is_dir()
    except (OSError, ValueError):  # a name that is too long, or has a NUL
        there = is_folder = False
    if not there and glob.has_magic(word):
        searched = _fixed_part(path)
        inside = [match for each in sorted(glob.glob(word, recursive=True)) for match in _pictures_of(Path(each))]
        if not inside:
            problems.append(f"{word}: no picture has such a name.")
    elif not there:
        problems.append(f"{word[:200]}: no such file or folder.")
        return
    else:
        searched = path if is_folder else path.parent if path.is_absolute() else Path()
        inside = _search(path) if is_folder else [path]
        if not inside:
            problems.append(f"{path}: no pictures in this folder ({', '.join(sorted(EXTENSIONS))}).")
    yield from (Input(str(file), lambda file=file: _open(file), _folders(file, searched)) for file in inside)


def _fixed_part(pattern: Path) -> Path:
    """The folder that a pattern is searched in: what stands before its first * or ?."""
    return next(above for above in pattern.parents if not glob.has_magic(str(above)))


def _folders(file: Path, searched: Path) -> tuple[str, ...]:
    top = searched.absolute()
    below = file.absolute().parent.relative_to(top)
    return (*reversed(below.parts), top.name)


def _pictures_of(path: Path) -> list[Path]:
    return [path] if path.is_file() and is_picture_name(path.name) else []


def _search(folder: Path) -> list[Path]:
    """Pictures below a folder, sorted; hidden files and what lies in hidden folders are passed over."""
    shown = (path for path in folder.rglob("*") if not any(p.startswith(".") for p in path.relative_to(folder).parts))
    return sorted(path for path in shown if is_picture_name(path.name) and path.is_file())


def _open(path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except OSError as error:
        raise unreadable(str(path), error) from error


def _read_stdin(stream: BinaryIO, problems: list[str]) -> list[Input]:
    """The picture that comes in, or those whose paths do. URLs in it are not asked for: nobody typed them."""
    raw = stream.read(MAX_FILE_BYTES + 1)
    if len(raw) > MAX_FILE_BYTES:
        problems.append(f"-: more than {MAX_FILE_BYTES:,} bytes came in. Give paths, a line each.")
        return []
    if raw and explain_no_picture(raw[:HEAD_BYTES]) is None:
        return [Input(STDIN, lambda: io.BytesIO(raw))]
    lines = raw.split(b"\0") if b"\0" in raw else raw.splitlines()
    paths = [line.decode("utf-8", "surrogateescape") for line in lines if line.strip()]
    if not paths or len(paths) > MOST_PATHS:
        problems.append(f"-: {len(paths):,} paths came in, and no picture. Give a picture, or a path on each line.")
        return []
    web = next((path for path in paths if path.lower().startswith(("http://", "https://"))), None)
    if web is not None:
        problems.append(f"-: {web[:100]}: URLs are taken as words of the command only.")
        return []
    return [one for path in paths for one in _find_files(path, problems)]


def fetch(url: str) -> BinaryIO:
    """The body of one URL, at most 50 MB and 30 s; no redirect is followed and no proxy asked.

    Raises:
        UserError: the server can't be reached, answers anything but 200, or sends too much or too slowly.
    """
    shown, deadline = url[:200], time.monotonic() + LONGEST_FETCH
    try:
        parts = urlsplit(url)
        if not parts.hostname or parts.username is not None:
            raise UserError(shown, "names no server, or a password. Write http://HOST[:PORT]/PATH.")
        kind = http.client.HTTPSConnection if parts.scheme.lower() == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname, parts.port, timeout=LONGEST_WAIT)
        target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request("GET", target, headers={"User-Agent": "strop", "Accept": "image/*"})
            return io.BytesIO(_read_answer(connection.getresponse(), shown, deadline))
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UserError(shown, f"can't be fetched ({str(error) or type(error).__name__}).") from None


def _read_answer(answer: http.client.HTTPResponse, shown: str, deadline: float) -> bytes:
    if answer.status in (301, 302, 303, 307, 308):
        place = (answer.getheader("Location") or "elsewhere")[:100]
        raise UserError(shown, f"the server sends on to {place}, which is not followed. Give that, if you trust it.")
    if answer.status != 200:
        raise UserError(shown, f"the server answers {answer.status} {answer.reason}.")
    body = bytearray()
    while block := answer.read1(BLOCK):
        body += block
        if len(body) > MOST_FETCHED:
            raise UserError(shown, f"sends more than the {MOST_FETCHED:,} bytes that strop takes from a server.")
        if time.monotonic() > deadline:
            raise UserError(shown, f"takes longer than {LONGEST_FETCH:.0f} s.")
    return bytes(body)
