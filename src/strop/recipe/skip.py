"""Steps of a recipe that are left out, with all that can't be without them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ..errors import suggest
from ..steps import step_class
from ..steps.teachers import split_teachers
from .vary import Item

log = logging.getLogger("strop")


def read_ids(text: str | None) -> list[str]:
    """Ids with commas between them, as --skip and --only are written."""
    return [] if text is None else [name.strip() for name in text.split(",")]


def leave_out(
    items: list[Item], grids: dict[str, list[str]], names: Sequence[str], found: list[str]
) -> tuple[list[Item], dict[str, list[str]], set[str]]:
    """The steps and grids that remain, and the ids that are gone.

    A step goes with its parent or teacher, a list of runs (`parents`) loses what is gone and goes when it is empty.

    Args:
        names: ids, also of varied steps.
        found: gets a sentence for each name that no step has.
    """
    known = {str(item.options["id"]) for item in items if "id" in item.options} | grids.keys()
    unknown = [name for name in names if name not in known]
    found += [f"--skip {name}: no step has this id. {suggest(name, known)}" for name in unknown]
    gone = {member for name in names for member in grids.get(name, [name])}
    kept = []
    for item in items:
        name = str(item.options.get("id", ""))
        if name in gone:
            continue
        options = _without(item, gone)
        if options is None:
            log.info("%s is left out too: it begins with a step that is skipped", name or item.place)
            gone |= {name} - {""}
        else:
            kept.append(item._replace(options=options))
    left = {step: [member for member in members if member not in gone] for step, members in grids.items()}
    return kept, {step: members for step, members in left.items() if members or not grids[step]}, gone


def _without(item: Item, gone: set[str]) -> dict[str, Any] | None:
    """The options without references that are gone; None where one of those was all there was."""
    options = dict(item.options)
    for role in step_class(item.verb).references:
        names = options.get(role)
        if role == "teacher" and names:
            names = split_teachers(names)
            if gone & set(map(str, names)):
                return None
        elif isinstance(names, list):
            options[role] = [name for name in names if str(name) not in gone]
            if names and not options[role]:
                return None
        elif names is not None and str(names) in gone:
            return None
    return options


def without(expect: Any, gone: set[str]) -> Any:
    """What is expected of steps that remain."""
    if not gone or not isinstance(expect, dict):
        return expect
    return {
        name: wanted
        for name, wanted in expect.items()
        if name not in gone and not (isinstance(wanted, dict) and wanted.get("top1_drop_vs") in gone)
    }
