"""`strop ladder`: write its recipe, run it, and show the front."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

from .errors import DONE, UserError
from .planning import print_plan, shrink
from .printing import show

log = logging.getLogger("strop")


def climb(about: dict[str, Any], out: str | None, *, dry_run: bool, smoke: bool, as_json: bool) -> int:
    """Write, run and show a ladder.

    Args:
        about: the fields of `recipe.ladder.Ladder`, budgets as text.
    Raises:
        UserError: an option is wrong; all mistakes of the recipe's steps at once.
    """
    from .recipe import Recipe
    from .recipe.ladder import Ladder, name_of

    given = _read(about)
    root = Path(out) if out else Path("runs") / name_of(given["data"])
    path = Ladder(**given).write(root)
    log.info("recipe: %s", path)
    try:
        recipe = Recipe.load(path)
    except UserError:
        path.unlink()  # nothing was run with it; the corrected command writes another
        raise
    if smoke:
        recipe, root = shrink(recipe, str(root / "smoke"), None)
    if dry_run:
        return print_plan(recipe, root, as_json=as_json)
    return _run(recipe, root, as_json=as_json)


def _read(about: dict[str, Any]) -> dict[str, Any]:
    """The fields with budgets and batch size as values, and the data's place as it is found from anywhere."""
    data = about["data"]
    if Path(data).exists():
        data = str(Path(data).resolve())
    budgets = tuple(filter(None, (text.strip() for text in about["budgets"].split(","))))
    if not budgets:
        raise UserError("--budgets", f"'{about['budgets']}' names none. Write for example 50%,25%,9%.")
    more = {name: value for name, value in about["more"].items() if value is not None}
    if more.get("batch_size", "").isdecimal():
        more["batch_size"] = int(more["batch_size"])
    return about | {"data": data, "budgets": budgets, "more": more}


def _run(recipe: Any, root: Path, *, as_json: bool) -> int:
    from .launch import rank
    from .recipe import to_compare
    from .recipe.ladder import check_files
    from .report import formats, table
    from .report.front import front_columns, front_records
    from .report.present import report
    from .report.rows import collect
    from .writing import write_json

    start = time.perf_counter()
    runs = recipe.run(out=root)
    if rank():
        return DONE
    checked = check_files(runs)
    folders = to_compare(runs)
    rows, notes = collect(folders)
    records = front_records(rows)
    write_json(root / "front.json", {"format": 1, "points": records})
    page = report(folders, root / "report.html", title=recipe.name)
    if as_json:
        found = {"rows": [formats.record(row) for row in rows], "notes": list(notes), "front": records}
        print(json.dumps(found, ensure_ascii=False))
        return DONE
    show("", table.table(rows, notes), "", table.draw(front_columns(rows), 80))
    log.info("")
    log.info("each point is a file whose hash is that of its evidence: %d checked", checked)
    log.info("%s  (%.0f s)", page, time.perf_counter() - start)
    return DONE
