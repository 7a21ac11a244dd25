"""Stored messages, the command line in-process, and run folders by hand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from strop.cli import main

SNAPSHOTS = Path(__file__).parent / "snapshots"


@pytest.fixture
def same_as_snapshot(tmp_path):
    """Compare a text with snapshots/NAME.txt; STROP_UPDATE_SNAPSHOTS=1 rewrites the file instead.

    What changes when a part or a network is added (the lists after "Known:", their number) is cut out.
    """

    def compare(name: str, text: str) -> None:
        text = text.replace(str(tmp_path.resolve()), "FOLDER").rstrip("\n") + "\n"
        text = re.sub(r"Known: [\w:., -]*?(\.\.\.|\.(?= |$))", "Known: (list)", text, flags=re.MULTILINE)
        text = re.sub(r"lists all \d+", "lists all (N)", text)
        path = SNAPSHOTS / f"{name}.txt"
        if os.environ.get("STROP_UPDATE_SNAPSHOTS") == "1":
            path.write_text(text, encoding="utf-8")
        stored = path.read_text(encoding="utf-8") if path.is_file() else ""
        assert text == stored, f"the message changed; look at it, then store it with STROP_UPDATE_SNAPSHOTS=1 ({name})"

    return compare


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty folder to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def strop(here, capsys):
    """Run a command: (exit code, stdout, stderr)."""

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def refused(strop, here):
    """Run a command that must be refused: exit 2, one error on stderr, no traceback, nothing written; its stderr."""

    def run(*words: str) -> str:
        before = listing(here)
        code, out, err = strop(*words)
        assert code == 2, (out, err)
        assert err.startswith("error: ") and err.count("error: ") == 1
        assert "Traceback" not in out + err
        assert out == ""
        assert listing(here) == before, "a refused command wrote something"
        return err

    return run


def listing(root: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
    }


@pytest.fixture
def python(tmp_path):
    """Run a script in a fresh interpreter; its stdout. Modules that are loaded elsewhere are not loaded there."""

    def run(script: str, *, code: int = 0) -> str:
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=60)
        assert done.returncode == code, done.stderr
        return done.stdout

    return run


@pytest.fixture
def make_run(here):
    """Write a finished train folder as docs/formats.md describes it; accuracy None leaves it unmeasured."""

    def write(folder: str, *, accuracy: float | None = 0.8, id: str | None = None, status: str = "complete") -> Path:
        path = here / folder
        path.mkdir(parents=True)
        id = id or path.name
        hash = f"sha256:{id}"
        record = {"strop": "0.1.0", "id": id, "verb": "train", "status": status, "key": "blake2b:0", "parents": {}}
        record |= {"seed": 0, "started": "2026-11-22T10:00:00+00:00", "seconds": 1.0, "command": "", "machine": {}}
        model = {"name": "cnn3", "trained": [], "input_size": [1, 28, 28], "parameters": 10, "macs": 100}
        model |= {"file": "model.safetensors", "bytes": 40, "hash": hash}
        measured = {"split": "val", "checkpoint": "best", "runtime": "torch", "file": "model.safetensors"}
        measured |= {"hash": hash, "data": "blake2b:1", "n": 100, "accuracy": accuracy, "classes": ["a", "b"]}
        measured |= {
            "accuracy_interval": [0.5, 0.9],
            "interval_method": "Wilson 95%",
            "confusion": [[40, 10], [10, 40]],
        }
        measured |= {"loss": 0.4, "macro_precision": 0.8, "macro_recall": 0.8, "macro_f1": 0.8, "per_class": []}
        result = {"model": model, "measured": [measured] if accuracy is not None else []}
        (path / "run.json").write_text(json.dumps(record | {"versions": {}, "git": None}))
        (path / "result.json").write_text(json.dumps(result))
        (path / "model.safetensors").write_bytes(id.encode())
        return path

    return write
