"""Tables, charts and pages about finished runs; reads JSON only and never needs torch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .rows import Collected


def compare(*folders: str | os.PathLike) -> Collected:
    """Rows of run folders, joined with what was measured on them, and what a reader must know.

    Example:
        >>> rows, notes = compare("runs/student", "runs/small")
        >>> [row.accuracy for row in rows]
        [0.88, 0.868]
    """
    from .rows import collect

    return collect(folders)
