"""Which model to ship, and why, in words: the sentences that stand above every table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .notes import POINTS, same_pictures
from .numbers import decimals_for, names, percent, rough, significant, times

if TYPE_CHECKING:
    from .rows import Row


EQUALLY_FAST = 1.02
"""Latencies closer than this are called equal; the same file, opened twice, differs by as much (docs/log.md)."""
SLIGHTLY = 1.05
"""Up to this ratio sizes are told apart in percent."""


@dataclass(frozen=True)
class Verdict:
    """Which row to ship, in words; `best` is the most accurate row, `pick` the smallest close to it.

    `why` gives the figures of the choice, `apart` says which rows are told apart and which are not, `unmeasured` what
    nobody measured.
    """

    best: Row | None
    pick: Row | None
    headline: str
    why: list[str] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)
    unmeasured: list[str] = field(default_factory=list)


def judge(rows: Sequence[Row]) -> Verdict:
    """The smallest row within 2 points of the best, among the rows measured on the same pictures."""
    from .apart import apart

    pool = _comparable(rows)
    if not pool:
        headline = "Nothing was measured on test or val yet, so no model can be recommended."
        return Verdict(None, None, headline, unmeasured=missing(rows, None))
    best = max(pool, key=lambda row: (row.accuracy, -row.bytes))
    pick = min(
        (row for row in pool if best.accuracy - row.accuracy <= POINTS + 1e-9),
        key=lambda row: (row.bytes, -row.accuracy),
    )
    why = [] if len(rows) == 1 else [_figures(pick)]
    if pick is not best:
        why.append(_compare(pick, best))
    if len(pool) < len(rows):
        why.append(f"Judged are the {len(pool)} of {len(rows)} models that were measured on the same pictures.")
    return Verdict(best, pick, _headline(rows, pool, pick, best), why, apart(pick, pool), missing(rows, pick))


def _comparable(rows: Sequence[Row]) -> list[Row]:
    pools = [[other for other in rows if same_pictures(row, other)] for row in rows if row.measured]
    return max(pools, key=len, default=[])


def _headline(rows: Sequence[Row], pool: Sequence[Row], pick: Row, best: Row) -> str:
    if len(rows) == 1:
        return f"{pick.id} is {_right(pick)}."
    if len(pool) == 1:
        return f"Only {pick.id} can be judged: no other model was measured on the same pictures."
    if pick is best:
        return f"Ship {pick.id}: it is the most accurate model, and none within {100 * POINTS:g} points is smaller."
    return f"Ship {pick.id}: it is the smallest model within {100 * POINTS:g} points of the best, {best.id}."


def _figures(row: Row) -> str:
    """'small is right on ...; its file, runs/small-file/model.onnx, has 0.0459 MB.'"""
    place = f"{row.export or row.folder.name}/{row.file}"
    return f"{row.id} is {_right(row)}; its file, {place}, has {significant(row.bytes / 1e6)} MB."


def _right(row: Row) -> str:
    """'right on 68.4 % of the 1,000 test pictures (95 % interval 65.5 to 71.2)'"""
    n = row.figure("n")
    decimals = decimals_for(n)
    count = f"{n:,} " if n else ""
    interval = ""
    if row.interval:
        low, high = (percent(bound, decimals) for bound in row.interval)
        interval = f" (95 % interval {low} to {high})"
    return f"right on {percent(row.accuracy, decimals)} % of the {count}{row.measured['split']} pictures{interval}"


def _compare(pick: Row, best: Row) -> str:
    decimals = decimals_for(best.measured.get("n"))
    text = (
        f"Against {best.id}: {percent(pick.accuracy, decimals)} % instead of {percent(best.accuracy, decimals)} %, "
        f"{smaller(pick, best)} ({significant(pick.bytes / 1e6)} MB instead of {significant(best.bytes / 1e6)} MB)"
    )
    if not pick.p50 or not best.p50:
        return text + "; the two were not timed in one bench."
    show = significant if pick.is_quiet else rough
    ratio = max(best.p50, pick.p50) / min(best.p50, pick.p50)
    word = "faster" if pick.p50 < best.p50 else "slower"
    speed = f"{times(ratio)} times {word}" if ratio > EQUALLY_FAST else "as fast"
    return f"{text} and {speed} at batch 1 ({show(pick.p50)} ms, {show(best.p50)} ms)."


def smaller(pick: Row, best: Row) -> str:
    """'3.4 times smaller'; of a few bytes in a hundred, how many."""
    if best.bytes > SLIGHTLY * pick.bytes:
        return f"{times(best.bytes / pick.bytes)} times smaller"
    return f"{percent(1 - pick.bytes / best.bytes)} % smaller"


def missing(rows: Sequence[Row], pick: Row | None) -> list[str]:
    """What a reader might take for granted and nobody measured."""
    found = []
    unmeasured = [row.id for row in rows if row.measured is None]
    if unmeasured:
        found.append(f"The accuracy of {names(unmeasured)}.")
    untested = [row.id for row in rows if row.measured and row.measured["split"] != "test"]
    if untested:
        found.append(f"The accuracy of {names(untested)} on test pictures: validation pictures chose the epoch.")
    other = [row.id for row in rows if row.measured and not row.is_shipped]
    if other:
        found.append(f"The accuracy of the very file that ships, for {names(other)}: another file was measured.")
    slow = [row.id for row in rows if row.latency is None]
    if slow:
        found.append(f"The latency of {names(slow)}.")
    return found
