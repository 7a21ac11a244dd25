"""The same file in several runtimes: accuracy, other answers and latency of each, side by side."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from ..beside_float import MARK, marked, not_faster
from ..markup import exact, folded, grid, listed
from ..numbers import decimals_for, percent, rough, significant
from ..runtimes import others, within

if TYPE_CHECKING:
    from ..models import Model
    from ..rows import Row

MOST = 20
"""So many pictures that get another class are named."""


def runtimes(model: Model) -> str:
    elsewhere = others([model.row])
    if not elsewhere:
        return ""
    own = {figures.get("runtime", "?") for figures in (model.row.measured, model.row.latency) if figures}
    rows = [(" and ".join(sorted(own)), model.row)]
    rows += [(name, within([model.row], name)[0]) for name in elsewhere]
    heads = ["runtime", "accuracy, %", "other answers", "latency p50, ms", "times the bench's first row"]
    text = grid("Runtimes", heads, (_line(name, row) for name, row in rows), flat=True)
    slow = [f"{MARK} in {name} {said}." for name, row in rows if (said := not_faster(row.latency or {}))]
    return f"<h3>In each runtime</h3>{text}{listed(slow) if slow else ''}{''.join(map(_apart, rows[1:]))}"


def _line(name: str, row: Row) -> list[str]:
    figures, ratio = row.measured or {}, row.timed("ratio", "latency")
    digits, differ = decimals_for(figures.get("n")), figures.get("disagreements") or {}
    spread = f" <small>[{', '.join(percent(bound, digits) for bound in row.interval)}]</small>" if row.interval else ""
    latency = marked((significant if row.is_quiet else rough)(row.p50), not_faster(row.latency or {}))
    return [
        escape(f"{name} {row.measured_in.get(name, {}).get('version', '')}".strip()),
        exact(row.accuracy, percent(row.accuracy, digits)) + spread,
        exact(differ.get("count"), f"{differ['count']:,} of {figures['n']:,}" if differ else ""),
        exact(row.p50, latency),
        exact(ratio, "" if ratio is None else f"{ratio:.2f}"),
    ]


def _apart(named: tuple[str, Row]) -> str:
    """The pictures that get another class there, by name."""
    name, row = named
    differ: dict[str, Any] = (row.measured or {}).get("disagreements") or {}
    if not differ.get("listed"):
        return ""
    first = differ["to"]
    lines = [f"{one['name']}: {one[first]} in {first}, {one[name]} in {name}" for one in differ["listed"][:MOST]]
    more = [f"and {differ['count'] - MOST:,} more"] if differ["count"] > MOST else []
    return folded(f"Pictures that get another class in {name}", listed(lines + more))
