"""Run folders: make, log, finish, find, lineage. No torch.

A folder without `status: complete` is unfinished work that can be resumed, never a result.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import subprocess
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from . import __version__
from .errors import UserError
from .writing import write_json, write_whole

MODEL_FILES = ("model.safetensors", "model.onnx")
TRACED_PACKAGES = ("torch", "torchvision", "timm", "torch-pruning", "onnx", "onnxruntime", "openvino", "numpy")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(str(path), "the file is not there. Is the folder a run that strop finished?") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(
            str(path), f"is not readable as JSON ({error}). Restore the file or run the step again."
        ) from None


def read_metrics(path: Path | None) -> list[dict]:
    """Lines of metrics.jsonl, one an epoch; reading stops at a line that a crash has torn."""
    lines: list[dict] = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines() if path and path.is_file() else []:
        try:
            line = parse_json(text)
        except ValueError:
            break
        if not isinstance(line, dict) or not isinstance(line.get("epoch"), int):
            break
        lines.append(line)
    return lines


def parse_json(text: str) -> Any:
    """A JSON value; NaN and infinity, which JSON does not have, are a ValueError like any other damage."""

    def refuse(name: str):
        raise ValueError(f"{name} is no number")

    return json.loads(text, parse_constant=refuse)


def digest(*values: Any) -> str:
    """blake2b of the canonical JSON of values."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return "blake2b:" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def file_hash(*paths: Path) -> str:
    """sha256 over the bytes of files, in the order given."""
    total = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    return "sha256:" + total.hexdigest()


class Run:
    """One run folder.

    Example:
        >>> run = Run.open("runs/student")
        >>> run.result["model"]["parameters"]
        11175370
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @classmethod
    def open(cls, folder: str | os.PathLike) -> Run:
        """A finished run, by its folder or the model file in it. Raises UserError where there is none."""
        path = Path(folder)
        if path.name in MODEL_FILES and path.is_file():
            path = path.parent
        if path.parent.name == "checkpoints" and path.is_file():
            raise UserError(str(folder), f"is a checkpoint. strop evaluate {path.parents[1]} measures the last too.")
        if not (path / "run.json").is_file():
            raise UserError(str(folder), "is not a run folder (it has no run.json). Give a folder that strop made.")
        run = cls(path)
        if run.record.get("status") != "complete":
            verb = run.record.get("verb", "the step")
            raise UserError(str(folder), f"{verb} is unfinished here. Run the same command again: it resumes.")
        return run

    @property
    def record(self) -> dict:
        return read_json(self.folder / "run.json")

    @property
    def result(self) -> dict:
        return read_json(self.folder / "result.json")

    @property
    def data(self) -> dict:
        return read_json(self.folder / "data.json")

    @property
    def id(self) -> str:
        return self.record["id"]

    @property
    def model_file(self) -> Path:
        for name in MODEL_FILES:
            if (self.folder / name).is_file():
                return self.folder / name
        raise UserError(
            str(self.folder),
            f"holds no model ({' or '.join(MODEL_FILES)}). Give a run of train, prune, quantize or export.",
        )

    def model_hash(self) -> str:
        """What children and measurements are bound to: the tensors and how to build around them."""
        description = self.folder / "model.json"
        return file_hash(self.model_file, *([description] if description.is_file() else []))

    @property
    def checkpoints(self) -> Path:
        """The folder of what resuming needs."""
        return self.folder / "checkpoints"

    def naming(self, choice: str) -> str:
        """Under which name run.json keeps what a choice came to."""
        return choice

    def log(self, **line: Any) -> dict:
        """Append one line to metrics.jsonl; returns it."""
        with open(self.folder / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
        return line

    def metrics(self) -> list[dict]:
        """Lines of metrics.jsonl, see `read_metrics`."""
        return read_metrics(self.folder / "metrics.jsonl")

    def keep_metrics(self, epochs: int) -> None:
        """Drop lines of epochs after `epochs`: a resumed run writes them again."""
        lines = [line for line in self.metrics() if line["epoch"] <= epochs]
        write_whole(self.folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())

    def drop_drafts(self) -> None:
        """Remove what a process left that was killed while it wrote; the caller holds the folder."""
        for draft in self.folder.rglob(".*.draft"):
            draft.unlink(missing_ok=True)

    def finish(self, result: dict, seconds: float) -> Run:
        """Write the result, mark the run complete, then drop what only resuming needs; the order is the promise."""
        write_json(self.folder / "result.json", result)
        record = self.record
        record |= {"status": "complete", "seconds": round(record.get("seconds", 0.0) + seconds, 3)}
        write_json(self.folder / "run.json", record)
        for path in (self.folder / "checkpoints").glob("step-*"):
            path.unlink()
        return self

    def add_seconds(self, seconds: float) -> None:
        """Keep the time spent before an interruption."""
        record = self.record
        record["seconds"] = round(record.get("seconds", 0.0) + seconds, 3)
        write_json(self.folder / "run.json", record)


def link(run: Run, folder: Path) -> dict:
    """How `folder` records `run` as its parent."""
    return {"id": run.id, "path": os.path.relpath(run.folder.resolve(), folder.resolve()), "hash": run.model_hash()}


def place(out: Path, key: str, *, exact: bool) -> tuple[Path, str]:
    """Find the folder for a step: (folder, 'new' | 'unfinished' | 'complete').

    A folder that holds something else is never touched: the next free name (`-2`, `-3`, ...) is
    taken, or, where the user named the folder (`exact`), the step is refused.
    """
    number = 1
    while True:
        folder = out if number == 1 else out.with_name(f"{out.name}-{number}")
        if not folder.exists():
            return folder, "new"
        state = _state(folder, key)
        if state:
            return folder, state
        if exact:
            raise UserError(
                f"--out {out}",
                "the folder is there and holds something else; strop overwrites nothing. "
                "Choose another --out, or remove the folder.",
            )
        number += 1


def _state(folder: Path, key: str) -> str | None:
    if not folder.is_dir():
        return None
    if not (folder / "run.json").is_file():
        # A draft is what a process leaves that died while it wrote its first file.
        return "new" if all(path.suffix == ".draft" for path in folder.iterdir()) else None
    record = read_json(folder / "run.json")
    if record.get("key") != key:
        return None
    return "complete" if record.get("status") == "complete" else "unfinished"


def check_writable(option: str, path: Path) -> None:
    """Refuse, before the work, a place where no folder can be made."""
    there = next(parent for parent in [path.absolute(), *path.absolute().parents] if parent.exists())
    if there == path.absolute() and not there.is_dir():
        return  # `place` says that something else is there
    read_only = not os.access(there, os.W_OK | os.X_OK) or os.statvfs(there).f_flag & os.ST_RDONLY
    if read_only or not there.is_dir():
        why = "is read-only" if there.is_dir() else "is no folder"
        raise UserError(f"--{option} {path}", f"can't be made: {there} {why}. Choose another place.")


def check_new_file(option: str, path: Path) -> None:
    """Refuse, before the work, a file that is there or whose folder is not."""
    if path.exists():
        raise UserError(f"--{option} {path}", "the file is there; strop overwrites nothing. Choose another name.")
    if not path.parent.is_dir():
        raise UserError(f"--{option} {path}", f"there is no folder {path.parent}. Make it first.")


def check_new_folder(option: str, path: Path) -> None:
    """Refuse, before the work, a folder that holds something, or a file in its place."""
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(
            f"--{option} {path}", "is there and not an empty folder; strop overwrites nothing. Choose another."
        )


def free_folder(folder: Path) -> Path:
    """The folder, or the first of folder-2, folder-3, ... that is not there yet."""
    number, free = 1, folder
    while free.exists():
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free


def create(
    folder: Path, *, id: str, verb: str, key: str, parents: dict[str, Run], seed: int, command: str, device: str
) -> Run:
    """Make the folder and its run.json with `status: running`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(str(folder), f"can't be made ({error.strerror}). Choose another --out.") from None
    run = Run(folder)
    write_json(
        folder / "run.json",
        {
            "strop": __version__,
            "id": id,
            "verb": verb,
            "status": "running",
            "key": key,
            "parents": {role: link(parent, folder) for role, parent in parents.items()},
            "seed": seed,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": 0.0,
            "command": command,
            "machine": machine(device),
            "versions": versions(),
            "git": git_state(),
        },
    )
    return run


@contextmanager
def locked(folder: Path):
    """Hold the folder against a second process that runs the same step."""
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(str(folder), "another strop process works on this run. Wait for it or stop it.") from None
        yield


def machine(device: str) -> dict:
    """The machine in words."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "device": device,
        "system": platform.platform(),
    }


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "strop": __version__}
    for package in TRACED_PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_state() -> dict | None:
    """Commit of the folder the user works in, if it is a git checkout."""

    def ask(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=5)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    return {"commit": commit, "dirty": bool(ask("status", "--porcelain"))} if commit else None
