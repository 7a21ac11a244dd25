"""What to ship and why, what is not told apart, what was not measured, what did not hold: before any table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from ..markup import exact, folded, listed
from ..numbers import decimals_for, percent, rough, significant, times
from ..verdict import EQUALLY_FAST, smaller

if TYPE_CHECKING:
    from ..rows import Row
    from ..verdict import Verdict


SHOWN = 5
"""So many sentences of a kind are shown at once; more are folded away."""


def verdict(judged: Verdict, failed: Sequence[str]) -> str:
    parts = [f'<p class="headline">{escape(judged.headline)}</p>', *(f"<p>{escape(text)}</p>" for text in judged.why)]
    if judged.pick is not None and judged.best is not None:
        parts.append(_tiles(judged.pick, judged.best))
    lists = (
        ("What did not hold", failed),
        ("How sure the order is", judged.apart),
        ("What was not measured", judged.unmeasured),
    )
    found = "".join(f"<div><h3>{title}</h3>{_short(lines)}</div>" for title, lines in lists if lines)
    return "".join(parts) + (f'<div class="remarks">{found}</div>' if found else "")


def _short(lines: Sequence[str]) -> str:
    rest = lines[SHOWN:] if len(lines) > SHOWN + 1 else []
    return listed(lines[: len(lines) - len(rest)]) + (folded(f"{len(rest)} more", listed(rest)) if rest else "")


def _tiles(pick: Row, best: Row) -> str:
    digits = decimals_for(pick.figure("n"))
    interval = ""
    if pick.interval:
        interval = f", 95 % interval {percent(pick.interval[0], digits)} to {percent(pick.interval[1], digits)}"
    lighter = "" if best is pick else f", {smaller(pick, best)} than {best.id}"
    tiles = [
        (exact(pick.accuracy, f"{percent(pick.accuracy, digits)} %"), f"{pick.measured['split']} accuracy{interval}"),
        (exact(pick.bytes, f"{significant(pick.bytes / 1e6)} MB"), pick.file + lighter),
    ]
    if pick.p50:
        about = _speed(pick, best) if best.p50 and best is not pick else ""
        tiles.append(
            (exact(pick.p50, f"{(significant if pick.is_quiet else rough)(pick.p50)} ms"), f"p50 at batch 1{about}")
        )
    if pick.parameters:
        tiles.append((exact(pick.parameters, f"{significant(pick.parameters / 1e6)} M"), "parameters"))
    inside = (f'<div class="tile"><b>{figure}</b><span>{escape(text)}</span></div>' for figure, text in tiles)
    return f'<div class="tiles">{"".join(inside)}</div>'


def _speed(pick: Row, best: Row) -> str:
    if max(pick.p50, best.p50) <= EQUALLY_FAST * min(pick.p50, best.p50):
        return f", as fast as {best.id}"
    word, ratio = ("faster", best.p50 / pick.p50) if pick.p50 < best.p50 else ("slower", pick.p50 / best.p50)
    return f", {times(ratio)} times {word} than {best.id}"
