"""What an audit found: kinds, severities, sentences, and the short verdict for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .. import __version__
from .kinds import KINDS

if TYPE_CHECKING:
    from .collection import Collection

SEVERITIES = ("error", "warning", "note")
FORMAT = 1
_WIDTH = 80


@dataclass(frozen=True)
class Item:
    """Files that belong together in a finding (a picture and its copies, or one file), and what is said about them."""

    files: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """One kind of fault.

    Attributes:
        kind: a key of KINDS.
        severity: "error", "warning" or "note".
        sentence: what was found, with the count in it.
        items: the files in question, grouped; relative to the folder.
        count: how many pictures (or classes, or pairs) are concerned; may be above len(items).
    """

    kind: str
    severity: str
    sentence: str
    items: tuple[Item, ...]
    count: int

    @property
    def title(self) -> str:
        return KINDS[self.kind].title

    @property
    def files(self) -> tuple[str, ...]:
        """All files named, each once, in order."""
        return tuple(dict.fromkeys(file for item in self.items for file in item.files))


def make_finding(kind: str, items: Sequence[Item], *, count: int | None = None, severity: str | None = None, **words):
    """A Finding with the sentence of its kind; `words` fill the sentence's other places."""
    about = KINDS[kind]
    n = len(items) if count is None else count
    sentence = (about.one if n == 1 else about.many).format(n=f"{n:,}", **words)
    return Finding(kind, severity or about.severity, sentence, tuple(items), n)


@dataclass(frozen=True)
class Findings:
    """The result of an audit.

    Attributes:
        name: of the folder or data set.
        location: the folder; None for a named set.
        quick: only headers and file hashes were looked at.
        counts: readable pictures by split and class.
        pictures: all pictures found, readable or not.
        found: errors first, then warnings, then notes.
        seconds: how long it took.

    Example:
        >>> findings = audit("fashion-mini", quick=True)
        >>> findings.has_errors, findings.pictures
        (False, 6000)
    """

    name: str
    location: str | None
    quick: bool
    counts: dict[str, dict[str, int]]
    pictures: int
    found: tuple[Finding, ...]
    seconds: float
    collection: Collection | None = field(default=None, repr=False, compare=False)

    @property
    def has_errors(self) -> bool:
        """Whether the exit code is errors.AUDIT_ERRORS."""
        return any(finding.severity == "error" for finding in self.found)

    def of(self, kind: str) -> tuple[Finding, ...]:
        """The findings of one kind; leaks have one for each pair of splits."""
        return tuple(finding for finding in self.found if finding.kind == kind)

    def describe(self) -> dict[str, Any]:
        """The content of audit.json."""
        return {
            "strop": __version__,
            "format": FORMAT,
            "source": self.name,
            "location": self.location,
            "quick": self.quick,
            "pictures": self.pictures,
            "counts": self.counts,
            "errors": self.has_errors,
            "seconds": round(self.seconds, 3),
            "findings": [_describe(finding) for finding in self.found],
        }

    def verdict(self) -> str:
        """A few lines of at most 80 columns: what was looked at, each finding with an example, the sum."""
        lines = textwrap.wrap(show_plain(f"{self.name}: {self.summary}."), _WIDTH)
        for finding in self.found:
            head = f"{finding.severity:<8} "
            lines += textwrap.wrap(finding.sentence, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head)) + [
                " " * len(head) + _shorten(_example(item), _WIDTH - len(head)) for item in finding.items[:1]
            ]
        return "\n".join([*lines, self.sum])

    @property
    def summary(self) -> str:
        """The pictures, classes and splits in words."""
        splits = ", ".join(f"{split} {sum(classes.values()):,}" for split, classes in self.counts.items())
        classes = len(next(iter(self.counts.values()), {}))
        how = "headers and hashes" if self.quick else "every pixel"
        pictures = f"{self.pictures:,} picture{'s' * (self.pictures != 1)}"
        return f"{pictures} in {classes} class{'es' * (classes != 1)} ({splits}), {how}, {self.seconds:.0f} s"

    @property
    def sum(self) -> str:
        """How many findings of each severity."""
        numbers = {severity: sum(f.severity == severity for f in self.found) for severity in SEVERITIES}
        if not self.found:
            return "nothing found"
        return ", ".join(f"{n} {severity}{'s' * (n != 1)}" for severity, n in numbers.items() if n)


def _describe(finding: Finding) -> dict[str, Any]:
    items = [{"files": list(item.files)} | ({"note": item.note} if item.note else {}) for item in finding.items]
    return {
        "kind": finding.kind,
        "severity": finding.severity,
        "sentence": finding.sentence,
        "count": finding.count,
        "items": items,
    }


def _example(item: Item) -> str:
    text = " = ".join(item.files[:2]) + (f" and {len(item.files) - 2} more" if len(item.files) > 2 else "")
    return f"{text}: {item.note}" if text and item.note else text or item.note


def _shorten(text: str, width: int) -> str:
    text = show_plain(text)
    return text if len(text) <= width else text[: width - 3] + "..."


def show_plain(text: str) -> str:
    """Without control and invisible characters: a file name must not steer a terminal or hide what it says."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
