"""Rows that were measured on the same pictures are ranked; the others are named with their figure, and left out."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import UserError
from .measurements import pictures
from .notes import paths
from .numbers import decimals_for, names, percent

if TYPE_CHECKING:
    from .rows import Row

SHOWN = 6
"""So many rows are told apart by their pictures in a refusal."""


def rank_alike(rows: Sequence[Row], baseline: str | None = None) -> tuple[list[Row], list[str]]:
    """Rows where all accuracies are of the same pictures, those of the largest group, and what became of the others.

    Rows of other pictures stay, without an accuracy: `unranked` is the row as it was.

    Args:
        baseline: id of a row whose group is ranked, however small.
    Raises:
        UserError: no two rows share their pictures.
    """
    pools: dict[Hashable, list[Row]] = {}
    for row in rows:
        if row.measured:
            pools.setdefault(pictures(row.measured), []).append(row)
    if len(pools) < 2:
        return list(rows), []
    ranked, *rest = sorted(pools.values(), key=lambda pool: (all(row.id != baseline for row in pool), -len(pool)))
    others = [row for pool in rest for row in pool]
    if len(ranked) < 2:
        raise UserError("compare", _refusal(ranked, others, baseline))
    nothing = {"measured": None, "measured_in": {}, "predictions": None}
    out = {row.id: replace(row, **nothing, unranked=row) for row in others}
    return [out.get(row.id, row) for row in rows], _left_out(ranked, others)


def _left_out(ranked: Sequence[Row], others: Sequence[Row]) -> list[str]:
    """What is ranked and what is not, and, apart from that, what to type."""
    told = [f"{row.id} ({percent(row.accuracy, decimals_for(row.figure('n')))} % of {_pool(row)})" for row in others]
    return [
        f"Ranked are the {len(ranked)} rows that were measured on the same {_pool(ranked[0])}. Left out, because "
        f"accuracies on other pictures can't be set beside theirs: {names(told)}.",
        f"To rank all: {'; '.join(_remedy(ranked, others))}",
    ]


def _refusal(ranked: Sequence[Row], others: Sequence[Row], baseline: str | None) -> str:
    """Who was measured on what, a line each, and what to type."""
    told = [f"{row.id}: {_pool(row)}" for row in (*ranked, *others)]
    told = [*told[:SHOWN], f"and {len(told) - SHOWN} more"] if len(told) > SHOWN + 1 else told
    shared = f"no row was measured on the pictures of {baseline}" if baseline else "no two rows share their pictures"
    lines = [f"{shared}: nothing can be ranked.", *told, "Measure them on the same pictures:"]
    return "\n  ".join([*lines, *_remedy(ranked, others)])


def _pool(row: Row) -> str:
    fingerprint = str(pictures(row.measured)[1]).removeprefix("blake2b:")[:8]
    return f"{row.measured.get('n', 0):,} {row.measured['split']} pictures ({fingerprint})"


def _remedy(ranked: Sequence[Row], others: Sequence[Row]) -> list[str]:
    """What to type. Validation pictures are each run's own, so where it is about them, all have to go to test."""
    on_test = ranked[0].measured["split"] == "test"
    rows = [*others] if on_test else [*ranked, *others]
    commands = [f"strop evaluate {paths([row])} {_data(ranked[0], row)}--split test" for row in rows[:3]]
    return commands + (["and so on"] if len(rows) > 3 else [])


def _data(first: Row, row: Row) -> str:
    """The other data have to be named where a run was measured on its own."""
    return "" if row.measured.get("data") == first.measured.get("data") else "DATA "
