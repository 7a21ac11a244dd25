"""The recipe below `strop ladder`: teacher, student, several budgets, int8, each exported and timed in one bench."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import RunFailed, UserError
from ..runs import Run, file_hash
from ..writing import write_whole
from .vary import word

FILE = "ladder.yaml"
HEAD = """\
# What a smaller and faster model costs in accuracy: a teacher, a student, budgets of parameters, int8.
# Written by `strop ladder`. Edit it and run it: what did not change is not done again.
# strop run {path} --out {folder}
"""
_PLAIN = re.compile(r"[A-Za-z/][\w./+*-]*|\d+(\.\d+)?%")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off"}


@dataclass(frozen=True)
class Ladder:
    """What the recipe is made of.

    Attributes:
        data, model: as `strop train` takes them; teacher: a network, or a run that is there already.
        budgets: shares of the student's parameters that may remain.
        epochs: of teacher and student; two thirds of it follow each pruning.
        rounding: epochs of quantization-aware training of the smallest model; 0 for none.
        more: options of both trainings (pretrained, augment, seed, ...).
    """

    data: str
    model: str
    teacher: str
    budgets: tuple[str, ...]
    epochs: int
    rounding: int
    validation: str
    input_size: int | None
    more: dict[str, Any]

    def steps(self) -> list[tuple[str, dict[str, Any]]]:
        """Verbs and options in order."""
        trained = (Path(self.teacher) / "run.json").is_file()
        teacher = str(Path(self.teacher).resolve()) if trained else "teacher"
        tuning = max(1, round(2 * self.epochs / 3))
        kept = {name: value for name, value in self.more.items() if name != "pretrained"}
        pruned = [f"pruned-{word(budget)}" for budget in self.budgets]
        found: list[tuple[str, dict[str, Any]]] = []
        if not trained:
            found.append(("train", {"id": "teacher", "model": self.teacher, "epochs": self.epochs, **self.more}))
        student = {"id": "student", "model": self.model, "teacher": teacher, "epochs": self.epochs, **self.more}
        found.append(("train", student))
        budgets = {"params": list(self.budgets)}
        prune = {"id": "pruned", "parent": "student", "teacher": teacher, "epochs": tuning, **kept, "vary": budgets}
        found.append(("prune", prune))
        floats = ["student", "pruned"]
        found.append(("quantize", {"id": "int8", "vary": {"parent": floats}}))
        exported = [teacher, *floats, "int8"]
        if self.rounding:
            rounding = {"id": f"{pruned[-1]}-qat", "parent": pruned[-1], "teacher": teacher, "epochs": self.rounding}
            found.append(("quantize", rounding | kept))
            exported.append(f"{pruned[-1]}-qat")
        found.append(("export", {"id": "file", "vary": {"parent": exported}}))
        found.append(("bench", {"id": "bench", "parents": ["file"]}))
        return found

    def write(self, folder: Path) -> Path:
        """Write the recipe into the folder; the same again is left.

        Raises:
            UserError: another one is there, which may be the user's own.
        """
        path = folder / FILE
        data = {"source": self.data, "validation": self.validation, "input_size": self.input_size}
        lines = [f"data: {_flow({name: value for name, value in data.items() if value is not None})}", "steps:"]
        lines += [f"  - {verb}: {_flow(options)}" for verb, options in self.steps()]
        text = HEAD.format(path=path, folder=folder) + "\n".join(lines) + "\n"
        if path.is_file():
            if path.read_text(encoding="utf-8") != text:
                ways = f"Run it with `strop run {path} --out {folder}`, or choose another --out."
                raise UserError(str(path), f"is there and says something else than these options. {ways}")
            return path
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
        return path


def _flow(value: Any) -> str:
    """A value as YAML in one line; texts that could be read as something else are in quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_flow(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    is_plain = isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS
    return value if is_plain else json.dumps(value, ensure_ascii=False)


def check_files(runs: list[Run]) -> int:
    """How many exported files there are; each is the one that its evidence was measured on.

    Raises:
        RunFailed: a file was changed since.
    """
    exports = [run for run in runs if run.record["verb"] == "export"]
    for run in exports:
        if run.model_hash() != run.result["model"]["hash"]:
            found = file_hash(run.model_file)
            raise RunFailed(f"{run.model_file}: {found} is not the file that was measured. Export it again.")
    return len(exports)


def name_of(data: str) -> str:
    """The folder of a ladder, by its data."""
    return f"ladder-{word(Path(data).name or data)}"
