"""All files of an export folder: their list in evidence.json, and a folder of anyone held against it."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator, Set
from pathlib import Path

from ..runs import Run, file_hash, read_json
from ..writing import write_json
from .card import CARD, clients
from .evidence import CLASSES, EVIDENCE, FILE_NAME, MODEL, Evidence, open_inside
from .verify import Check

# What predict.py asks for beside Python's own modules; `org` is a question of Python's own copy.py.
IMPORTED = frozenset(["numpy", "onnxruntime", "org", "PIL"])
MODULES = (".py", ".pyc", ".pyd", ".so")
# npm takes its sources from the first two, strop a model from the third, before those that export wrote.
STEERING = frozenset([".npmrc", "npm-shrinkwrap.json", "model.safetensors"])
READ = frozenset(["model.json", "data.json", CARD])
INSTALLED = ("node_modules", "package-lock.json")
SHOWN = 4


def list_files(run: Run) -> None:
    """Write size and sha256 of every file of the folder into its evidence.json, but for that itself.

    run.json is listed once the run is complete, because it changes until then.
    """
    passing = {EVIDENCE} if run.record["status"] == "complete" else {EVIDENCE, "run.json"}
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": file_hash(path).removeprefix("sha256:")}
        for path in sorted(run.folder.iterdir())
        if path.is_file() and re.fullmatch(FILE_NAME, path.name) and path.name not in passing
    }
    write_json(run.folder / EVIDENCE, read_json(run.folder / EVIDENCE) | {"files": files})


def check_files(folder: Path, evidence: Evidence) -> Check:
    """Every file that export wrote, and what lies beside them.

    A listed file that differs does not hold, nor does one that programs would load and the evidence does not list.
    Other files are the user's own: they are named and not looked at. A listed file that is gone is named too; only
    model.onnx and classes.json have to be there. A program that is listed may be an earlier strop's, or a forger's who
    listed it again: it is named where this strop would write another.
    """
    there = {entry.name for entry in os.scandir(folder)} - {EVIDENCE}
    listed, programs = evidence.files, clients(evidence.preprocess.alpha)
    wrong = [
        f"{name} is not the file that export wrote"
        for name in listed
        if name in there and name != MODEL and not _is_as_listed(folder, name, evidence)
    ]
    if MODEL not in listed or listed[MODEL].sha256 != evidence.sha256:
        wrong.append(f"the list in the evidence has another {MODEL}")
    wrong += [f"{name} is not there" for name in (MODEL, CLASSES) if name not in there]
    added = sorted(name for name in there - listed.keys() if name not in INSTALLED)
    taken = _that_are_loaded(folder, added, STEERING | READ | programs.keys())
    wrong += [f"{_shown(name)} is not from export, and {why}" for name, why in taken]
    if wrong:
        return Check("files", False, _few(wrong, "; "))
    others = [
        name
        for name, program in programs.items()
        if name in listed.keys() & there and hashlib.sha256(program).hexdigest() != listed[name].sha256
    ]
    said = [f"{len(listed.keys() & there)} of {len(listed)} that export wrote, as it wrote them"]
    for words, names in (
        ("not there", sorted(listed.keys() - there)),
        ("not what this strop writes, read before you run it", others),
        ("not from export, not looked at", [name for name in added if name != ".lock"]),
        ("what npm installed, not checked", [name for name in INSTALLED if name in there]),
    ):
        if names:
            said.append(f"{words}: {_few([_shown(name) for name in names], ', ')}")
    return Check("files", True, "; ".join(said))


def _is_as_listed(folder: Path, name: str, evidence: Evidence) -> bool:
    """Size first, so that no more than that is read."""
    expected = evidence.files[name]
    try:
        with open_inside(folder / name) as file:
            if file.seek(0, os.SEEK_END) != expected.bytes:
                return False
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest() == expected.sha256
    except OSError:
        return False


def _that_are_loaded(folder: Path, added: list[str], read: Set[str]) -> Iterator[tuple[str, str]]:
    """Of names that export did not write those that a program would take, and why; `read` are read by name."""
    for name in added:
        stem, _, _ = name.partition(".")
        if name in read:
            yield name, "is read as if it were"
        elif (stem in IMPORTED or stem in sys.stdlib_module_names) and _is_module(folder / name):
            yield name, f"predict.py would load it as {stem}"


def _is_module(path: Path) -> bool:
    if path.is_dir():
        return any(entry.name.endswith(MODULES) for entry in os.scandir(path))
    return path.name.endswith(MODULES)


def _shown(name: str) -> str:
    name = name if name.isprintable() else ascii(name)
    return name if len(name) <= 40 else f"{name[:37]}..."


def _few(words: list[str], between: str) -> str:
    more = f"{between}and {len(words) - SHOWN:,} more" if len(words) > SHOWN else ""
    return between.join(words[:SHOWN]) + more
