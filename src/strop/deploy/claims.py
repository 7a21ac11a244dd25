"""What an export folder says in several places, held against each other: its figures, its data, where it came from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..data.picture import unreadable
from ..errors import UserError
from ..runs import Run
from .card import CARD, figures, form_figures
from .evidence import LARGEST_JSON, Ancestor, Evidence, open_inside, read_limited_json
from .verify import Check

CLOSE = 1e-6
SHARES = ("accuracy", "top5")
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def check_figures(folder: Path, evidence: Evidence) -> Check:
    """The evidence against itself (an interval follows from a share and n), and README.md and result.json against it.

    None of this says that the figures are true; it says that there are no two of them.
    """
    places = ["evidence.json"]
    wrong = _interval_that_differs(evidence)
    if not wrong and (folder / CARD).exists():
        places.append(CARD)
        wrong = _row_that_differs(folder / CARD, evidence)
    if not wrong and (folder / "result.json").exists():
        places.append("result.json")
        wrong = _result_that_differs(read_limited_json(folder / "result.json"), evidence)
    return Check("figures", not wrong, wrong or f"the same in {', '.join(places)}")


def _interval_that_differs(evidence: Evidence) -> str | None:
    from ..measure.metrics import wilson

    measured = [(name, "", evidence.accuracy.model_dump()) for name in SHARES]
    measured += [("accuracy", f" in {about.name}", about.model_dump()) for about in evidence.runtimes]
    for name, where, scores in measured:
        share, n = scores[name], scores["n"]
        if share is None:
            continue
        if abs(share * n - round(share * n)) > CLOSE * n:
            return f"{name}{where} {share:.6g} is no share of {n:,} pictures"
        found, expected = scores.get(f"{name}_interval"), wilson(round(share * n), n)
        if not _is_close(found, expected):
            return (
                f"the interval of {name}{where} is {_percent(found)} in the evidence; that of {round(share * n):,} "
                f"of {n:,} is {_percent(expected)}"
            )
    return None


def _is_close(found: Any, expected: list[float]) -> bool:
    numbers = [value for value in found if isinstance(value, float | int)] if isinstance(found, list | tuple) else []
    return len(numbers) == 2 and all(abs(a - b) < CLOSE for a, b in zip(numbers, expected, strict=True))


def _percent(bounds: Any) -> str:
    try:
        return " to ".join(f"{100 * bound:.2f}" for bound in bounds)
    except (TypeError, ValueError):
        return repr(bounds)[:40]


def _row_that_differs(path: Path, evidence: Evidence) -> str | None:
    """A row of the card's table whose numbers are not those of the evidence. The words may be another strop's."""
    try:
        with open_inside(path) as file:
            lines = file.read(LARGEST_JSON).decode("utf-8", errors="replace").splitlines()
    except OSError as error:
        raise unreadable(str(path), error) from None
    scores = evidence.accuracy.model_dump(mode="json")
    latency, resizing = evidence.latency.latency_ms.model_dump(), evidence.resizing.model_dump()
    runtimes = [about.model_dump() for about in evidence.runtimes]
    expectations = figures(scores, latency, resizing, evidence.preprocess.temperature, runtimes)
    expectations |= form_figures([form.model_dump(mode="json") for form in evidence.forms])
    for name, expected in expectations.items():
        rows = [line.removeprefix(f"| {name} |") for line in lines if line.startswith(f"| {name} |")]
        if not rows:
            return f"{path.name} has no row '{name}'"
        numbers = NUMBER.findall(expected)
        for row in rows:
            if NUMBER.findall(row)[: len(numbers)] != numbers:
                return f"{name} is '{row.strip(' |')[:60]}' in {path.name}, '{expected}' in the evidence"
    return None


def _result_that_differs(result: Any, evidence: Evidence) -> str | None:
    try:
        measured, latency = result["measured"][0], result["latency"]
        known = {name: measured.get(name) for name in evidence.accuracy.model_fields_set}
    except (KeyError, IndexError, TypeError, AttributeError):
        return "result.json is not as strop writes it"
    for name, value in evidence.accuracy.model_dump(mode="json", exclude_unset=True).items():
        if known[name] != value:
            return f"{name} is {known[name]!r:.40} in result.json, {value!r:.40} in the evidence"
    if latency != evidence.latency.model_dump(mode="json"):
        return "the latency in result.json is not that in the evidence"
    if result.get("forms", []) != [form.model_dump(mode="json", exclude_unset=True) for form in evidence.forms]:
        return "the other forms in result.json are not those in the evidence"
    if result.get("runtimes", []) != [about.model_dump(mode="json", exclude_unset=True) for about in evidence.runtimes]:
        return "what was measured in each runtime in result.json is not what stands in the evidence"
    return None


def check_origin(folder: Path, evidence: Evidence) -> Check:
    """Fingerprint of the data, and hashes of the runs that the file came from, as far as these are at hand.

    A run is looked for beside the folder, by its id and the second at which it began: no path of the evidence is
    followed, and another run of that name is not taken for it.
    """
    wrong = _records_that_differ(folder, evidence)
    here, elsewhere = [], []
    for about in evidence.lineage:
        run = _find(folder, about)
        (elsewhere if run is None else here).append(about.id)
        if run is not None and not about.changed and not wrong and run.model_hash() != about.hash:
            wrong = f"the run {about.id} beside this folder has another hash than in the evidence"
    if wrong:
        return Check("origin", False, wrong)
    said = [f"data {evidence.data[:20]}..."]
    said += [f"runs at hand, as they were: {', '.join(dict.fromkeys(here))}"] if here else []
    said += [f"not at hand: {', '.join(dict.fromkeys(elsewhere))}"] if elsewhere else []
    return Check("origin", True, "; ".join(said))


def _records_that_differ(folder: Path, evidence: Evidence) -> str | None:
    for parent in evidence.parents.values():
        if not any((about.id, about.hash) == (parent.id, parent.hash) for about in evidence.lineage):
            return f"the parent {parent.id} has another hash in the evidence's lineage"
    for name, fields in {
        "data.json": {"fingerprint": evidence.data, "source": evidence.source},
        "run.json": {
            "parents": {role: parent.model_dump(exclude_unset=True) for role, parent in evidence.parents.items()},
            "versions": evidence.versions,
        },
    }.items():
        found = read_limited_json(folder / name) if (folder / name).exists() else fields
        for field, expected in fields.items():
            if not isinstance(found, dict) or found.get(field) != expected:
                return f"{field} in {name} is not what the evidence says"
    return None


def _find(folder: Path, about: Ancestor) -> Run | None:
    """The run itself, beside the folder."""
    place = folder.resolve().parent / about.id
    if about.started is None or not re.fullmatch(r"[\w][\w. -]*", about.id) or not (place / "run.json").is_file():
        return None
    record = read_limited_json(place / "run.json")
    if not isinstance(record, dict) or (record.get("id"), record.get("started")) != (about.id, about.started):
        return None
    try:
        _ = Run(place).model_file
    except UserError:  # its model was removed
        return None
    return Run(place)
