"""Read the JSON of run folders and say in words what is wrong with one that can't be used."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ..runs import parse_json

MODEL_VERBS = ("train", "prune", "quantize", "export")
JOINED_VERBS = ("evaluate", "bench", "export")

_NUMBER = (int, float)
_MODEL = {"name": str, "trained": list, "input_size": list, "file": str, "bytes": int, "hash": str}
_MEASURED = {"split": str, "hash": str, "accuracy": _NUMBER}
_CONTROL = {"difference": _NUMBER, "interval": list, "verdict": str}
_BENCH = {"id": str, "hash": str, "latency_ms": dict}


class Unusable(ValueError):
    """A folder that gives no row; the text is the reason."""


class Folder(NamedTuple):
    """A finished run folder: its two JSON files."""

    path: Path
    record: dict[str, Any]
    result: dict[str, Any]

    @property
    def verb(self) -> str:
        return self.record["verb"]

    @property
    def started(self) -> str:
        return self.record.get("started", "")

    @property
    def parent_hash(self) -> str | None:
        """Hash of the model that this folder measured or was made from."""
        return (self.record.get("parents") or {}).get("parent", {}).get("hash")


def read_folder(path: Path, verbs: Iterable[str] | None = None) -> Folder | None:
    """The folder's record and result; None where the verb is not one of `verbs`.

    Raises:
        Unusable: not a run folder, unfinished, or the JSON is not what docs/formats.md says.
    """
    if not path.is_dir():
        raise Unusable("is not a folder")
    if not (path / "run.json").exists():
        raise Unusable("has no run.json, and holds no folder with one")
    record = _read_object(path / "run.json")
    _check("run.json", record, {"id": str, "verb": str, "status": str})
    if verbs is not None and record["verb"] not in verbs:
        return None
    if record["status"] != "complete":
        raise Unusable(f"{record['verb']} is unfinished")
    for role, parent in _field(record, "parents", dict).items():
        _check(f"run.json: parents.{role}", parent, {"id": str})
    result = _read_object(path / "result.json")
    _check_result(record["verb"], result)
    return Folder(path, record, result)


def runs_in(path: Path) -> list[Path]:
    """The folder itself, or, where it is no run but holds some, these by name."""
    if not path.is_dir() or (path / "run.json").exists():
        return [path]
    return sorted(inside.parent for inside in path.glob("*/run.json")) or [path]


def look_around(paths: Iterable[Path], known: Iterable[Path]) -> list[Folder]:
    """Finished evaluate, bench and export folders that lie beside `paths` and are not `known`."""
    seen, found = set(known), []
    for parent in dict.fromkeys(path.parent for path in paths):
        for path in sorted(parent.iterdir()):
            if path in seen or not (path / "run.json").is_file():
                continue
            try:
                folder = read_folder(path, JOINED_VERBS)
            except Unusable:
                continue  # nobody named this folder; a run in progress beside the others is ordinary
            if folder is not None:
                found.append(folder)
    return found


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Unusable(f"has no {path.name}") from None
    except (OSError, ValueError) as error:
        raise Unusable(f"{path.name} can't be read ({error})") from None
    if not isinstance(value, dict):
        raise Unusable(f"{path.name} holds no JSON object")
    return value


def _check(where: str, value: Any, fields: dict[str, Any]) -> None:
    if not isinstance(value, dict):
        raise Unusable(f"{where} holds no JSON object")
    for name, kind in fields.items():
        if name not in value:
            raise Unusable(f"{where} lacks '{name}'")
        if not isinstance(value[name], kind) or isinstance(value[name], bool):
            raise Unusable(f"{where}: '{name}' can't be {value[name]!r}")


def _field(value: dict, name: str, kind: type) -> Any:
    """An optional field: empty where absent or null."""
    found = value.get(name)
    if found is None:
        return kind()
    if not isinstance(found, kind):
        raise Unusable(f"'{name}' can't be {found!r}")
    return found


def _controls(result: dict) -> dict[str, Any]:
    """The controls of a pruned run by role, where it has any."""
    found = _field(_field(result, "pruning", dict), "controls", dict)
    return {role: found[role] for role in ("scratch", "longer") if role in found}


def _check_result(verb: str, result: dict) -> None:
    if verb in MODEL_VERBS:
        _check("result.json: model", result.get("model"), _MODEL)
    for role, control in _controls(result).items():
        where = f"result.json: pruning.controls.{role}"
        _check(where, control, _CONTROL)
        _check(where, dict(zip(("low", "high"), control["interval"], strict=False)), {"low": _NUMBER, "high": _NUMBER})
    for number, entry in enumerate(_field(result, "measured", list)):
        _check(f"result.json: measured[{number}]", entry, _MEASURED)
    if verb == "bench":
        for number, entry in enumerate(_field(result, "bench", list)):
            where = f"result.json: bench[{number}]"
            _check(where, entry, _BENCH)
            _check(f"{where}.latency_ms", entry["latency_ms"], {"p50": _NUMBER, "p95": _NUMBER})
