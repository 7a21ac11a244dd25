"""How to do it again: the exact commands, oldest first, those of parents, teachers, exports and the bench too."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..markup import code
from ..models import read_object

if TYPE_CHECKING:
    from ..rows import Row

DEEPEST = 50


def commands(rows: Sequence[Row]) -> str:
    records: dict[Path, dict[str, Any]] = {}
    for row in rows:
        for folder in _involved(row):
            _collect(folder, records)
    ordered = sorted(records.values(), key=lambda record: str(record.get("started", "")))
    lines = [record["command"] for record in ordered if isinstance(record.get("command"), str)]
    folders = [_shell(row.folder) for row in rows]
    lines += [f"strop verify {_shell(row.folder.parent / row.export)}" for row in rows if row.export]
    lines.append(f"strop {'compare' if len(rows) > 1 else 'report'} {' '.join(folders)}")
    config = f"strop run {folders[0]}/config.yaml"
    return code(dict.fromkeys(lines)) + (
        f"<p>Every option, defaults included, stands in each run's config.yaml: <code>{escape(config)}</code> repeats "
        f"that step.</p>{_commits(ordered)}"
    )


def _shell(folder: Path) -> str:
    """The folder as a command takes it, from where the user stands."""
    return shlex.quote(os.path.relpath(folder))


def _involved(row: Row) -> Iterator[Path]:
    """The row's folder, its export's and the bench's."""
    yield row.folder
    for id in (row.export, (row.latency or {}).get("bench")):
        if isinstance(id, str) and Path(id).name == id:
            yield row.folder.parent / id


def _collect(folder: Path, records: dict[Path, dict[str, Any]], depth: int = 0) -> None:
    """The run.json of a folder and of what it was made from."""
    record = read_object(folder / "run.json")
    if folder in records or not record or depth > DEEPEST:
        return
    records[folder] = record
    links = record.get("parents")
    for link in links.values() if isinstance(links, dict) else []:
        if isinstance(link, dict) and isinstance(link.get("path"), str):
            above = (folder / link["path"]).resolve()
            if read_object(above / "run.json").get("id") == link.get("id"):
                _collect(above, records, depth + 1)


def _commits(records: Sequence[dict[str, Any]]) -> str:
    """The commits of the folder that the commands were given in."""
    states = dict.fromkeys(
        f"{git['commit']}{', with uncommitted changes' if git.get('dirty') else ''}"
        for record in records
        if isinstance(git := record.get("git"), dict) and git.get("commit")
    )
    return f"<p>They were run in a git checkout at {escape('; '.join(states))}.</p>" if states else ""
