"""Choices that a resumed run does not make again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..launch import here
from ..runs import Run, read_json, write_json


def once(run: Run, name: str, make: Callable[[], Any], *, file: str = "pruning.json") -> Any:
    """What `make` gives; a resumed run takes what it wrote down. All processes hold what the first one found.

    Args:
        make: returns JSON; all processes call it, or none.
        file: in the run's folder, where it is written down.
    """
    path = run.folder / file

    def known() -> dict:
        return read_json(path) if path.is_file() else {}

    found = here().from_first(lambda: known().get(name))
    if found is not None:
        return found
    value = make()
    here().from_first(lambda: write_json(path, known() | {name: value}))
    return here().from_first(lambda: value)
