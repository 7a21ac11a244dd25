"""From a folder or the name of a data set to findings, and from findings to files."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

from ..data.look import Looks
from ..data.source import Source, open_source
from ..errors import UserError
from ..runs import cores, write_json, write_whole
from .balance import count_classes, find_broken, find_colours, find_imbalance, find_sizes
from .collection import Collection, SourceCollection
from .copies import find_exact, find_near, group_equal
from .crops import Embed
from .doubts import WORST, find_doubts
from .findings import SEVERITIES, Finding, Findings, Item, make_finding
from .kinds import KINDS
from .look import look_at_all
from .walk import walk_folder


def audit(
    data: str | Path | Source,
    *,
    quick: bool = False,
    labels: bool = False,
    embed: Embed | None = None,
    worst: int = WORST,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Findings:
    """Look for what is wrong with a set of pictures. Reads only; a bad file never stops it.

    Args:
        data: a folder, the name of a data set, or an opened Source; an existing folder goes first.
        quick: headers and file hashes only: no pixel is decoded, near copies and cut-short files are not found.
        labels: search train and val for likely label errors too; not in quick mode.
        embed: look for crops too, among pictures whose vectors it finds near (see `find_crops`); not in quick mode.
        worst: how many doubtful labels are listed, >= 1.
        seed: of the folds in the search for label errors.
        threads: pictures read at a time (default: processors, 4 at most).
        progress: called with (pictures done, pictures in all).
    Raises:
        UserError: there is no such folder or data set, no picture in it, or the options exclude each other.

    Example:
        >>> audit("fashion-mini", quick=True).sum
        '1 note'
    """
    if quick and labels:
        raise UserError("--labels", "needs the pixels, and --quick reads none. Leave one of them out.")
    if quick and embed is not None:
        raise UserError("--embeddings", "needs the pixels, and --quick reads none. Leave one of them out.")
    if worst < 1:
        raise UserError("worst", f"{worst} is no number of pictures to list. Write 1 or more.")
    start = time.perf_counter()
    name, location, collection, found = _open(data)
    looks = look_at_all(collection, quick=quick, threads=threads or min(cores(), 4), progress=progress)
    group = group_equal(looks)
    found += find_broken(collection, looks)
    found += find_exact(collection, looks, group)
    if not quick:
        near, family = find_near(collection, looks, group, embed)
        found += near
        found += find_doubts(collection, looks, family, worst=worst, seed=seed) if labels else []
    return conclude(collection, looks, found, name=name, location=location, start=start)


def conclude(
    collection: Collection, looks: Looks, found: list[Finding], *, name: str, location: str | None, start: float
) -> Findings:
    """What was found, and what counts, sizes and colours say; `start` is when the audit began (`perf_counter`)."""
    found = found + find_imbalance(collection, looks)
    found += find_sizes(collection, looks) + find_colours(collection, looks)
    return Findings(
        name,
        location,
        looks.quick,
        _count(collection, looks),
        len(collection),
        tuple(_sort(found)),
        time.perf_counter() - start,
        collection,
    )


def _open(data: str | Path | Source) -> tuple[str, str | None, Collection, list[Finding]]:
    path = Path(data).expanduser() if isinstance(data, str | Path) else None
    if path is not None and path.is_dir():
        collection, found = walk_folder(path)
        return unicodedata.normalize("NFC", collection.root.name), str(collection.root), collection, found
    source = open_source(str(data)) if path is not None else data
    return source.name, source.location, SourceCollection(source), []


def _count(collection: Collection, looks: Looks) -> dict[str, dict[str, int]]:
    counts = count_classes(collection, looks)
    return {
        split: dict(zip(collection.classes, map(int, row), strict=True))
        for split, row in zip(collection.splits, counts, strict=True)
    }


def _sort(found: list[Finding]) -> list[Finding]:
    """Errors first; findings of one kind that came from two searches become one, unless their sentences differ."""
    joined: dict[tuple[str, str], list[Item]] = {}
    single = []
    for finding in found:
        if finding.kind in ("empty-class", "unreadable", "limit"):
            joined.setdefault((finding.kind, finding.severity), []).extend(finding.items)
        else:
            single.append(finding)
    single += [make_finding(kind, items) for (kind, _), items in joined.items()]
    kinds = list(KINDS)
    return sorted(single, key=lambda finding: (SEVERITIES.index(finding.severity), kinds.index(finding.kind)))


def write_audit(findings: Findings, folder: Path) -> list[Path]:
    """Write audit.json and audit.html into a folder of their own; gives their paths.

    Raises:
        UserError: the folder lies in the audited one, holds an audit already, or can't be written.
    """
    from .page import render_page

    check_place(findings.location, folder)
    written = [folder / "audit.json", folder / "audit.html"]
    for path in written:
        if path.exists():
            raise UserError(str(path), "the file is there; strop overwrites nothing. Choose another --out.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(written[0], findings.describe())
        write_whole(written[1], render_page(findings).encode())
    except OSError as error:
        raise UserError(str(folder), f"can't be written ({error.strerror}). Choose another --out.") from None
    return written


def check_place(location: str | None, path: Path) -> None:
    """Refuse to write into the audited folder: the next audit would look at what this one wrote."""
    if location is not None and path.resolve().is_relative_to(Path(location).resolve()):
        raise UserError(str(path), "lies inside the audited folder, which stays as it is. Choose another place.")
