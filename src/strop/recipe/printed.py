"""A plan on the screen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..report.columns import Column
from ..report.numbers import DASH, significant
from ..report.table import draw, note

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions


@dataclass(frozen=True)
class Sheet:
    """What rich prints of a plan."""

    plan: dict[str, Any]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        yield draw(columns_of(self.plan), options.max_width)
        for number, text in enumerate([total(self.plan), *self.plan["notes"]]):
            yield note(text, first=number == 0)


def columns_of(plan: dict[str, Any]) -> list[Column]:
    """The columns of the table."""
    steps = plan["steps"]

    def cells(write: Any) -> list[str]:
        return [write(step) for step in steps]

    def exact(step: dict) -> str:
        return DASH if step["parameters"] is None else f"{'<' * step['at_most']}{step['parameters']:,}"

    return [
        Column("step", "", cells(lambda step: step["id"]), is_number=False),
        Column("what", "", cells(lambda step: step["verb"]), is_number=False),
        Column("from", "", cells(lambda step: ", ".join(step["parents"]) or DASH), is_number=False),
        Column("state", "", cells(lambda step: step["state"] or "to do"), is_number=False),
        Column("params", "", cells(exact)),
        Column("MACs", "G", cells(lambda step: significant(step["macs"] and step["macs"] / 1e9))),
        Column("time", "", cells(lambda step: duration(step["seconds"]))),
        Column("memory", "GB", cells(lambda step: significant(step["bytes"] and step["bytes"] / 1e9, 2))),
    ]


def duration(seconds: float | None) -> str:
    """An estimate, with no more digits than it deserves.

    >>> duration(42.3), duration(7380), duration(400_000), duration(None)
    ('42 s', '2.0 h', '4.6 d', '-')
    """
    if seconds is None:
        return DASH
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or unit == "min" and seconds >= 100:
            value = seconds / size
            return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
    return f"{max(seconds, 1):.0f} s"


def total(plan: dict[str, Any]) -> str:
    """One sentence for all steps."""
    open_steps = [step for step in plan["steps"] if step["state"] != "done"]
    if not open_steps:
        return f"All {len(plan['steps'])} steps are done in {plan['root']}; nothing would be run."
    unknown = " and what can't be reckoned" * any(step["seconds"] is None for step in open_steps)
    count = f"{len(open_steps)} of {len(plan['steps'])} steps to do in {plan['root']}"
    return f"{count}: {duration(plan['seconds'])}{unknown}."
