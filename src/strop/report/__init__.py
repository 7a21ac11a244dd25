"""Tables, charts and pages about finished runs; reads JSON only and never needs torch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .rows import Collected


def compare(*folders: str | os.PathLike, split: str | None = None, baseline: str | None = None) -> Collected:
    """Rows of run folders, joined with what was measured on them, and what a reader must know.

    Args:
        split: test or val; default: what most rows were measured on.
        baseline: id or folder of the row that the others are tested against; their `against` says what came of it.
    Raises:
        UserError: no folder holds a finished model, no two rows were measured on the same pictures, or the baseline
            can't be one.

    Example:
        >>> rows, notes = compare("runs/student", "runs/small", baseline="student")
        >>> rows[1].accuracy, rows[1].against.verdict
        (0.868, 'not told apart')
    """
    from .ranking import rank_alike
    from .rows import Collected, collect

    if baseline is None:
        return collect(folders, split=split, rank=rank_alike)
    from .baseline import compare_with, find

    found = collect(folders, split=split, rank=lambda rows: rank_alike(rows, find(rows, baseline).id))
    rows, verdicts = compare_with(found.rows, find(found.rows, baseline))
    return Collected(rows, verdicts + found.notes)
