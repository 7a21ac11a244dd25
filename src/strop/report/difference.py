"""What two runs were told, on what, by which code, and what came of it: side by side, only what differs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..runs import Run, digest
from ..yaml import read_yaml
from .columns import Column
from .measurements import pictures
from .models import read_object
from .numbers import DASH, percent, significant

SHARES = ("accuracy", "precision", "recall", "f1", "top5", "share")
FIGURES = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "top5", "loss", "brier", "ece", "n")
MODEL = ("name", "trained", "input_size", "parameters", "macs", "bytes", "file")
TRAINING = ("epochs", "best_epoch", "min_loss", "final_loss", "seconds", "precision", "peak_memory_bytes")
TIMES = ("latency_ms p50", "images_per_second")
Pairs = dict[str, tuple[Any, Any]]


def compare_runs(first: str, second: str) -> dict[str, Any]:
    """The differences between two finished runs of any verb, in four groups of {name: (value of A, value of B)}.

    Returns:
        "a" and "b" ({"id", "verb", "path"}), "config", "data", "code", "result", "same": how many values of each
        group are equal, and "not_comparable": the names in "result" that are of other pictures, or of another bench.
        A value that a run does not have is None.
    Raises:
        UserError: not a finished run.

    Example:
        >>> compare_runs("runs/student", "runs/rival")["config"]["lr"]
        (0.05, 0.01)
    """
    runs = Run.open(first), Run.open(second)
    if runs[0].folder.samefile(runs[1].folder):
        raise UserError(f"diff {second}", "is the same folder. Name two runs.")
    groups = {"config": _config, "data": _data, "code": _code, "result": _result}
    found: dict[str, Any] = {side: _about(run) for side, run in zip("ab", runs, strict=True)}
    same = {}
    for name, read in groups.items():
        a, b = (read(run) for run in runs)
        pairs = {key: (a.get(key), b.get(key)) for key in {**a, **b}}
        found[name] = {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
        same[name] = len(pairs) - len(found[name])
    return found | {"same": same, "not_comparable": _not_comparable(runs, found["result"])}


def _not_comparable(runs: tuple[Run, Run], pairs: Pairs) -> list[str]:
    """Accuracies on other pictures and times of two benches say nothing about A and B."""
    a, b = ({scores["split"]: pictures(scores) for scores in run.result.get("measured") or []} for run in runs)
    others = tuple(f"{split} " for split in a if split in b and a[split] != b[split])
    both = [name for name, pair in pairs.items() if None not in pair]
    return [name for name in both if name.startswith(others) or name.endswith(TIMES)]


def _about(run: Run) -> dict[str, str]:
    return {"id": run.id, "verb": run.record["verb"], "path": str(run.folder)}


def _config(run: Run) -> dict[str, Any]:
    """The options of config.yaml, those inside others with dots; the name of the run is none."""
    path, verb = run.folder / "config.yaml", run.record["verb"]
    steps = read_yaml(path)["steps"] if path.is_file() else []
    settings = steps[0].get(verb) if steps and isinstance(steps[0], dict) else None
    found: dict[str, Any] = {}
    for name, value in settings.items() if isinstance(settings, dict) else ():
        found |= _flat(name, value)
    return {name: value for name, value in found.items() if name != "id"}


def _flat(path: str, value: Any) -> dict[str, Any]:
    """{a: {b: 1}} as {"a.b": 1}; a part {name: {option: value}} as its name, and its options below its place."""
    if not isinstance(value, Mapping) or not value:
        return {path: value}
    if len(value) == 1:
        [(name, options)] = value.items()
        if isinstance(options, Mapping):
            return {path: name} | {k: v for o, item in options.items() for k, v in _flat(f"{path}.{o}", item).items()}
    return {k: v for name, item in value.items() for k, v in _flat(f"{path}.{name}", item).items()}


def _data(run: Run) -> dict[str, Any]:
    about = read_object(run.folder / "data.json")
    validation, counts = about.get("validation"), about.get("counts")
    found = {name: about.get(name) for name in ("source", "fingerprint", "classes", "channels", "alpha") if about}
    if isinstance(validation, dict):
        found["validation"] = validation.get("rule")
        names = validation.get("names")
        found["validation pictures"] = digest(sorted(map(str, names)))[8:16] if isinstance(names, list) else None
    for split, each in counts.items() if isinstance(counts, dict) else ():
        found[f"{split} pictures"] = sum(n for n in each.values() if isinstance(n, int)) if each else 0
    for name in ("unreadable", "excluded"):
        if isinstance(about.get(name), dict):
            found[name] = len(about[name])
    return found


def _code(run: Run) -> dict[str, Any]:
    """Versions, commit, seed and machine; a commit with changes that were not committed is marked."""
    record = run.record
    git = record.get("git") or {}
    commit = git.get("commit")
    found = {"strop": record.get("strop"), "seed": record.get("seed"), "verb": record["verb"]}
    found["commit"] = f"{commit[:12]}{' with changes' if git.get('dirty') else ''}" if commit else None
    found |= {name: version for name, version in (record.get("versions") or {}).items() if name != "strop"}
    return found | {f"machine {name}": value for name, value in (record.get("machine") or {}).items()}


def _result(run: Run) -> dict[str, Any]:
    """What the model is, what was measured on each split, how training went, what a bench found."""
    result = run.result
    model, training = result.get("model") or {}, result.get("training") or {}
    found = {name: model.get(name) for name in MODEL if name in model}
    for scores in result.get("measured") or []:
        place = " ".join(filter(None, (scores["split"], scores.get("checkpoint"))))
        found |= {f"{place} {name}": scores[name] for name in FIGURES if name in scores}
    found |= {f"training {name}": training[name] for name in TRAINING if name in training}
    for row in [*(result.get("bench") or []), *filter(None, [result.get("latency")])]:
        name = "" if "latency" in result else f"{row['id']} "
        found[f"{name}latency_ms p50"] = row["latency_ms"]["p50"]
        found[f"{name}images_per_second"] = (row.get("images_per_second") or {}).get("value")
    return found


def columns(pairs: Pairs, first: str, second: str, bare: Sequence[str] = ()) -> list[Column]:
    """The table of a group: name, both values, and for numbers what B is to A, but for those in `bare`."""
    names = list(pairs)
    shown = [[write(name, value) for value in pairs[name]] for name in names]
    return [
        Column("", "", names, is_number=False, name="name"),
        Column(first, "", [a for a, _ in shown], is_number=False, name="a"),
        Column(second, "", [b for _, b in shown], is_number=False, name="b"),
        Column("change", "", ["" if name in bare else _change(name, *pairs[name]) for name in names], name="change"),
    ]


def write(name: str, value: Any) -> str:
    """A value as people read it: shares in %, bytes in MB, lists with commas."""
    if value is None:
        return DASH
    if isinstance(value, list):
        return ", ".join(map(str, value)) or DASH
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if _is_share(name):
        return f"{percent(value, 2)} %"
    if name.endswith("bytes"):
        return f"{significant(value / 1e6)} MB"
    return f"{value:,}" if isinstance(value, int) else f"{value:.5g}"


def _change(name: str, a: Any, b: Any) -> str:
    """'+1.20 points' for shares, else '-91.2 %'; nothing where there are no two numbers."""
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in (a, b)):
        return ""
    if _is_share(name):
        return f"{100 * (b - a):+.2f} points"
    if name in ("seed", "batch_size") or not a:
        return ""
    return f"{100 * (b / a - 1):+.1f} %"


def _is_share(name: str) -> bool:
    return name.split()[-1].removeprefix("macro_") in SHARES


def remarks(found: Mapping[str, Any]) -> list[str]:
    """Why some results have no change beside them."""
    times = [name for name in found["not_comparable"] if name.endswith(TIMES)]
    splits = dict.fromkeys(name.split()[0] for name in found["not_comparable"] if name not in times)
    said = [f"The {split} pictures are others: these figures say nothing about A and B." for split in splits]
    if times:
        paths = " ".join(shlex.quote(found[side]["path"]) for side in "ab")
        said.append(f"The times are of two benches. To compare them: strop bench {paths}")
    return said


def verdict(first: str, second: str) -> list[str]:
    """Whether the predictions of both tell their accuracies apart; empty where there are none of the same pictures."""
    from .baseline import compare_with
    from .rows import collect

    try:
        rows, _ = collect([Path(first), Path(second)])
        if len(rows) != 2:
            return []
        judged, sentences = compare_with(rows, rows[0])
    except UserError:
        return []
    return sentences if judged[1].against else []
