"""The pictures of one tar shard: which members belong together, and what each says about its class."""

from __future__ import annotations

import json
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from ..errors import UserError
from .formats import EXTENSIONS
from .rows import show
from .tar import Member

_LABEL_FIELDS = ("label", "class", "cls")
_PLAIN = re.compile(r"(?!.*__MACOSX)((?:[\w-]+/){0,9}[\w-]{1,255})\.([\w.]{1,255})", re.ASCII)
_LONGEST_NAME, _LONGEST_LABEL, _LONGEST_JSON = 4096, 1000, 1_000_000


class Sample(NamedTuple):
    """A picture: its member's name and place, its class, and where that is said: .cls, .json, .txt or folders."""

    name: str
    start: int
    size: int
    label: str
    kind: str


class _Part(NamedTuple):
    """A member under a cleaned name: "cat/0012.seg.png" has the key "cat/0012" and the ending "seg.png"."""

    name: str
    key: str
    ending: str
    member: Member


def read_samples(members: Iterable[Member], file: int, where: str) -> Iterator[Sample]:
    """The pictures among the members of a tar; hidden files, and what belongs to no picture, are passed over.

    Args:
        members: from `read_members`.
        file: descriptor of the opened archive.
        where: what a message calls it.
    Raises:
        UserError: a picture without a class, two of one key, a label that can't be read, a name that leads elsewhere.
    """
    parts = (part for part in (_name(member, where) for member in members) if part is not None)
    for key, together in groupby(parts, key=lambda part: part.key):
        by_ending = {part.ending: part for part in together}
        pictures = [part for part in by_ending.values() if part.ending.rpartition(".")[2] in EXTENSIONS]
        plain = [part for part in pictures if "." not in part.ending] or pictures
        if len(plain) > 1:
            names = ", ".join(show(part.name) for part in plain[:3])
            raise UserError(where, f"{names}: pictures of one name up to its first dot. Give each a name of its own.")
        if plain:
            kind, label = _read_label(key, by_ending, file, where)
            yield Sample(plain[0].name, plain[0].member.start, plain[0].member.size, label, kind)


def _name(member: Member, where: str) -> _Part | None:
    """A member under its relative path, which is shown and compared, never opened; None for a hidden one."""
    name = member.name
    if plain := _PLAIN.fullmatch(name):  # a million names are nearly all like this
        return _Part(name, plain[1], plain[2].lower(), member)
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise UserError(where, f"{show(name)} is not UTF-8. Rename it.")
    words = name.split("/")
    if name.startswith("/") or ".." in words or "\0" in name or len(name) > _LONGEST_NAME:
        raise UserError(where, f"{show(name)} is no name of a file below a folder. Rename it.")
    words = [word for word in words if word not in ("", ".")]
    if any(word.startswith(".") or word == "__MACOSX" for word in words):
        return None
    stem, _, ending = words[-1].partition(".")
    name = "/".join(words)
    return _Part(name, posixpath.join(*words[:-1], stem), ending.lower(), member)


def _read_label(key: str, parts: dict[str, _Part], file: int, where: str) -> tuple[str, str]:
    if "cls" in parts:
        text = _read_text(parts["cls"].member, file, where, _LONGEST_LABEL)
        if not re.fullmatch(r"\d{1,9}", text):
            raise UserError(where, f"{show(parts['cls'].name)} holds {show(text)}. Write the number of a class.")
        return ".cls", str(int(text))
    if "json" in parts and (label := _read_field(parts["json"].member, file, where)):
        return ".json", label
    if "txt" in parts:
        label = _read_text(parts["txt"].member, file, where, _LONGEST_LABEL)
        if not label:
            raise UserError(where, f"{show(parts['txt'].name)} is empty. Write the name of a class.")
        return ".txt", unicodedata.normalize("NFC", label)
    folder = posixpath.basename(posixpath.dirname(key))
    if not folder:
        raise UserError(
            where, f"{show(key)} has no class. Write {posixpath.basename(key)}.cls behind it, or put it into a folder."
        )
    return "folders", unicodedata.normalize("NFC", folder)


def _read_text(member: Member, file: int, where: str, longest: int) -> str:
    if member.size > longest:
        raise UserError(where, f"{show(member.name)} has {member.size:,} bytes. Write the class alone.")
    try:
        return member.read(file).decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise UserError(where, f"{show(member.name)} is not text in UTF-8. Write it again.") from None


def _read_field(member: Member, file: int, where: str) -> str | None:
    try:
        about = json.loads(_read_text(member, file, where, _LONGEST_JSON))
    except (ValueError, RecursionError):
        raise UserError(where, f"{show(member.name)} is not readable as JSON. Write it again.") from None
    found = next((about[name] for name in _LABEL_FIELDS if name in about), None) if isinstance(about, dict) else None
    if isinstance(found, bool) or not isinstance(found, str | int) or len(str(found)) > _LONGEST_LABEL:
        return None
    return unicodedata.normalize("NFC", str(found).strip())
