"""The exclusion list: a text file of pictures to leave out, with the reason; nothing is ever deleted."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import UserError
from .findings import Finding, Findings, show_plain

_BROKEN = ("empty-file", "not-a-picture", "truncated", "corrupt", "too-large", "unreadable")


def choose_exclusions(findings: Findings) -> dict[str, str]:
    """What to leave out, and why; what needs a person's eye (near duplicates, doubtful labels) is not among it.

    Broken files; of exact duplicates all but the first; of leaks, near ones too, the copy in the earlier split, so
    that the test set stays as it is; of a picture with two labels every copy that a model would learn from.
    """
    chosen: dict[str, str] = {}
    for finding in findings.found:
        for name, reason in _exclude(finding, findings):
            chosen.setdefault(name, reason)
    return chosen


def _exclude(finding: Finding, findings: Findings):
    split_of = findings.collection.split_of if findings.collection is not None else lambda name: None
    for item in finding.items:
        if finding.kind in _BROKEN:
            yield from ((name, item.note or finding.title.lower()) for name in item.files)
        elif finding.kind == "duplicate":
            yield from ((name, f"exact duplicate of {item.files[0]}") for name in item.files[1:])
        elif finding.kind in ("leak", "near-leak"):
            last = item.files[-1]
            kind = "copy" if finding.kind == "leak" else "near copy"
            yield from (
                (name, f"{kind} of {last} in {split_of(last)}")
                for name in item.files
                if split_of(name) != split_of(last)
            )
        elif finding.kind == "two-labels":
            yield from ((name, "stands under two labels") for name in item.files if split_of(name) != "test")


def write_exclusions(findings: Findings, path: Path) -> int:
    """Write the list, one picture a line: path, tab, reason; returns how many.

    A path with a tab, a line break or another control character in it is written as a JSON string.

    Raises:
        UserError: the file is there already, or can't be written.
    """
    chosen = choose_exclusions(findings)
    head = [f"# strop audit of {show_plain(findings.name)}: pictures to leave out, and why"]
    lines = head + [f"{_quote(name)}\t{show_plain(reason)}" for name, reason in chosen.items()]
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    except FileExistsError:
        raise UserError(str(path), "the file is there; strop overwrites nothing. Choose another name.") from None
    except OSError as error:
        raise UserError(str(path), f"can't be written ({error.strerror}). Choose another place.") from None
    return len(chosen)


def _quote(name: str) -> str:
    """The name as it is, or as JSON where a reader of lines would take it for something else."""
    return name if name.isprintable() and name.strip() == name and name[:1] not in '"#' else json.dumps(name)
