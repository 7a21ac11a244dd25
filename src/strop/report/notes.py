"""The sentences that keep a comparison honest: what can't be compared, and what did not hold."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

from . import runtimes
from .beside_float import MARK, does_not_pay
from .measurements import pictures
from .numbers import names, percent, times

if TYPE_CHECKING:
    from .folders import Folder
    from .rows import Row

POINTS = 0.02
"""How much accuracy a smaller model may lose before it is said aloud: 2 points."""
PATHS = 8
"""Of more rows a command names half of that."""


def differences(rows: Sequence[Row]) -> list[str]:
    """Why some accuracies of the table can't be set side by side."""
    found = []
    unasked = [row for row in rows if row.measured is None and row.entries and row.unranked is None]
    if unasked:
        split = "val" if any(map(_is_tested, unasked)) else "test"
        who = names([row.id for row in unasked])
        found.append(
            f"Not measured on the {split} pictures: {who}. strop evaluate {paths(unasked[:1])} --split {split}"
        )
    missing = [row for row in rows if row.measured is None and not row.entries]
    if missing:
        who = names([row.id for row in missing])
        found.append(f"No accuracy on test or val was measured for {who}: strop evaluate {paths(missing[:1])}")
    measured = [row for row in rows if row.measured]
    untested = [row for row in measured if not _is_tested(row)]
    if untested and len(untested) < len(measured):
        tested = names([row.id for row in measured if _is_tested(row)])
        commands = "; ".join(f"strop evaluate {paths([row])} --split test" for row in untested[:3])
        found.append(f"On the test pictures only {tested} can be shown (--split test). For the rest: {commands}")
    found += _split_up(
        measured,
        lambda row: pictures(row.measured)[1],
        "Accuracies were measured on different pictures: {}. They can't be compared.",
    )
    found += _split_up(
        measured,
        lambda row: tuple(row.measured.get("classes") or ()),
        "The classes or their order differ: {}.",
    )
    looks = max((row.measured.get("looks", 0) for row in measured), default=0)
    if looks > 1:
        found.append(f"The test set has been looked at {looks} times: what is chosen by it looks better than it is.")
    other = [row for row in measured if not row.is_shipped]
    if other:
        files = names([f"{row.id} ({_file(row)})" for row in other])
        found.append(f"The accuracy was measured on another file than the one that ships for {files}.")
    return found


def _file(row: Row) -> str:
    """'model.safetensors, not model.onnx'; where both are called alike, which of the two."""
    measured = row.measured.get("file", "?")
    return f"{measured}, not {row.file if measured != row.file else 'the exported one'}"


def _is_tested(row: Row) -> bool:
    return any(entry.figures["split"] == "test" for entry in row.entries)


def _split_up(rows: Sequence[Row], key: Callable[[Row], Hashable], sentence: str) -> list[str]:
    """The sentence filled with the groups, largest first; nothing where all rows agree."""
    groups: dict[Hashable, list[str]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row.id)
    if len(groups) < 2:
        return []
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    return [sentence.format(" against ".join(names(ids) for _, ids in ordered))]


def about_bench(rows: Sequence[Row], bench: Folder | None) -> list[str]:
    """Where the latencies come from, and which rows have none."""
    if bench is None:
        return ["No bench holds these rows, so there are no latencies: strop bench " + paths(rows)]
    found = [_origin(rows, bench)]
    missing = [row.id for row in rows if row.latency is None]
    if missing:
        found.append(
            f"The bench '{bench.record['id']}' does not hold {names(missing)}; latencies of two benches are not "
            f"comparable. Time all together: strop bench {paths(rows)}"
        )
    other = [row.id for row in rows if row.latency and row.latency["hash"] != row.hash]
    if other:
        found.append(f"The latency was measured on another file than the one that ships for {names(other)}.")
    noise = bench.result.get("noise") or {}
    if noise.get("quiet") is False:
        ratio = noise.get("p95_over_p50")
        size = f": p95 is {times(ratio)}x p50." if ratio and ratio >= 1.5 else "."
        found.append(f"The machine was not quiet during the bench{size}")
    return found


def _origin(rows: Sequence[Row], bench: Folder) -> str:
    timed = [row.latency for row in rows if row.latency]
    own = sorted({entry.get("runtime", "an unnamed runtime") for entry in timed})
    beside = dict.fromkeys(str(name) for row in rows for name in row.timed_in if name not in own)
    threads = sorted({entry["threads"] for entry in timed if isinstance(entry.get("threads"), int)})
    words = [" and ".join(own)] + ([f"beside it {names(list(beside))}"] if beside else [])
    if threads:
        words.append(f"{' and '.join(map(str, threads))} thread{'s' if threads != [1] else ''}")
    processor = (bench.record.get("machine") or {}).get("processor")
    if processor:
        words.append(str(processor))
    return f"Latencies are from one interleaved bench ('{bench.record['id']}'): {', '.join(words)}."


def findings(rows: Sequence[Row]) -> list[str]:
    """What did not hold: a teacher that is no better, int8 that is no faster, a child that lost too much."""
    found = []
    for row in rows:
        found += _about_teacher(row, row.parent("teacher", rows))
        parent = row.parent("parent", rows)
        found += _about_speed(row, rows) + _about_loss(row, parent) + _about_controls(row)
    for runtime in runtimes.others(rows):
        elsewhere = runtimes.within(rows, runtime)
        found += [note for row in elsewhere for note in _about_speed(row, elsewhere, f" in {runtime}")]
    return found


def same_pictures(row: Row, other: Row) -> bool:
    """Whether two accuracies may be compared: same split, same pictures."""
    if row.measured is None or other.measured is None:
        return False
    return pictures(row.measured) == pictures(other.measured)


def _about_teacher(row: Row, teacher: Row | None) -> list[str]:
    if teacher is None or not same_pictures(row, teacher) or teacher.accuracy > row.accuracy:
        return []
    pair = _against(teacher.accuracy, row.accuracy)
    return [f"Teacher {teacher.id} does not beat its student {row.id} ({pair})."]


def _about_speed(row: Row, rows: Sequence[Row], where: str = "") -> list[str]:
    said = does_not_pay(row, rows)
    return [f"{row.scheme or 'Quantization'} does not pay for {row.id}{where} ({MARK}): {said}."] if said else []


def _about_loss(row: Row, parent: Row | None) -> list[str]:
    if row.verb not in ("prune", "quantize") or parent is None or not same_pictures(row, parent):
        return []
    lost = parent.accuracy - row.accuracy
    if lost <= POINTS + 1e-9:
        return []
    done = "Pruned" if row.verb == "prune" else "Quantized"
    return [
        f"{done} {row.id} is {percent(lost)} points below its parent {parent.id} "
        f"({_against(row.accuracy, parent.accuracy)})."
    ]


def _about_controls(row: Row) -> list[str]:
    """Whether pruning was worth it, as `prune --controls` measured it."""
    controls, told = row.controls or {}, []
    for role, words in (("scratch", "its shape trained from scratch"), ("longer", "its parent trained for longer")):
        about = controls.get(role)
        if about is not None:
            figures = ", ".join(f"{100 * value:+.1f}" for value in about["interval"])
            verdict = {"better": "better than", "worse": "worse than"}.get(about["verdict"], "not told apart from")
            told.append(f"{verdict} {words} ({100 * about['difference']:+.1f} points [{figures}])")
    n = controls.get("n")
    return [f"On {n:,} validation pictures {row.id} is {' and '.join(told)}."] if told and isinstance(n, int) else []


def _against(one: float, other: float) -> str:
    digits = 3 if one == other or f"{one:.3f}" != f"{other:.3f}" else 5
    return f"{one:.{digits}f} against {other:.{digits}f}"


def paths(rows: Sequence[Row]) -> str:
    """The folders as a command takes them, from where the user stands; of many the first, and three dots."""
    shown = rows if len(rows) <= PATHS else rows[: PATHS // 2]
    words = [shlex.quote(os.path.relpath(row.folder)) for row in shown]
    return " ".join(words + ["..."] * (len(shown) < len(rows)))
