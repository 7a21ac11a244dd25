"""What the command line does with a recipe instead of running it: print its plan, or make it small."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import DONE
from .printing import show

if TYPE_CHECKING:
    from .recipe import Recipe

log = logging.getLogger("strop")


def print_plan(recipe: Recipe, root: Path, *, as_json: bool) -> int:
    """The plan of a recipe as a table of at most 80 columns, and how its figures came about."""
    from .recipe.plan import make_plan
    from .recipe.printed import Sheet

    plan = make_plan(recipe, root)
    print(json.dumps(plan, ensure_ascii=False)) if as_json else show(Sheet(plan))
    return DONE


def shrink(recipe: Recipe, out: str | None, data: str | None) -> tuple[Recipe, Path]:
    """The recipe as small as it goes and where it is run; tells what was changed."""
    from .recipe.smoke import make_smoke

    root = Path(out) if out else Path("runs") / f"{recipe.name}-smoke"
    small, changes = make_smoke(recipe, root, data=data)
    log.info("a smoke run: every step, made small; its figures mean nothing")
    for change in changes:
        log.info("  %s", change)
    return small, root
