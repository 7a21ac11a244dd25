"""A recipe: steps in order, parents linked, finished ones skipped, expectations held at the end."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..config import problems
from ..errors import UserError, suggest
from ..runs import Run
from ..steps import step_class
from ..steps.teachers import is_known, is_run, split_teachers
from ..yaml import read_yaml
from .changes import replace_data, set_members, set_written
from .expect import Expectation, hold, read_expectations
from .skip import leave_out, read_ids, without
from .vary import Item, spread

__all__ = ["Expectation", "Recipe", "hold"]

log = logging.getLogger("strop")
BLOCKS = ["data", "defaults", "steps", "expect"]


class Recipe:
    """Validated steps, ready to run.

    Args:
        steps: config objects (`Train`, `Prune`, ...); a reference may be the id of an earlier step.
        expect: what must hold in the end, by id.
        name: names the folder under runs/.
        grids: the ids of the steps that a varied step stands for, by its id.
        charts: whether each step draws its own; the report at the end has them in any case.

    Example:
        >>> Recipe.load("recipes/fashion-mnist.yaml").run()
    """

    def __init__(
        self,
        steps: list,
        *,
        expect: dict[str, Expectation] | None = None,
        name: str = "recipe",
        grids: dict[str, list[str]] | None = None,
        charts: bool = True,
    ):
        self.steps, self.expect, self.name, self.grids = steps, expect or {}, name, grids or {}
        self.charts = charts

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        changes: dict[str, str] | None = None,
        data: str | None = None,
        skip: Sequence[str] = (),
    ) -> Recipe:
        """Read and check a YAML file. Raises one UserError with every mistake in it.

        Args:
            changes: "ID.option", "defaults.VERB.option" or "data.option" to the value that replaces it.
            data: folder or data set that takes the place of every one that the recipe names.
            skip: ids of steps to leave out, with all that begins with them.
        """
        path = Path(path)
        raw = read_yaml(path)
        found: list[str] = []
        if data is not None:
            replace_data(raw, data)
        later = set_written(raw, changes or {}, found)
        items, grids = spread(raw, found)
        set_members(items, later, found)
        items, grids, gone = leave_out(items, grids, skip, found)
        steps, ids = _read_steps(items, grids, found)
        expect = read_expectations(without(raw.get("expect") or {}, gone), ids, found)
        found += [f"{name}: unknown key. {suggest(name, BLOCKS)}" for name in raw if name not in BLOCKS]
        if found:
            raise UserError(str(path), *dict.fromkeys(found))
        return cls(steps, expect=expect, name=path.stem, grids=grids)

    def run(self, *, out: str | Path | None = None, only: str | None = None) -> list[Run]:
        """Run the steps; those that are done and unchanged are skipped.

        Args:
            out: folder of the run folders (default: runs/NAME).
            only: ids of the steps to run, with commas, or of varied ones; the others must be done.
        Raises:
            GateFailed: an expectation does not hold. All runs are kept.
        """
        root = Path(out) if out is not None else Path("runs") / self.name
        ids = [step.id for step in self.steps if step.id]
        wanted = read_ids(only)
        for name in wanted:
            if name not in (*ids, *self.grids):
                raise UserError(f"--only {name}", f"no step has this id. {suggest(name, [*ids, *self.grids])}")
        chosen = [member for name in wanted for member in self.grids.get(name, [name])]
        how = {} if self.charts else {"charts": False}
        made: dict[str, Path] = {}
        runs = []
        for number, step in enumerate(self.steps, 1):
            if only is None or step.id in chosen:
                log.info("[%d/%d] %s %s", number, len(self.steps), step.verb, step.id or "")
                run = link(step, made).execute(root=root, **how)
                made[run.id if step.id is None else step.id] = run.folder
                runs.append(run)
            elif step.id:
                made[step.id] = root / step.id
        if self.expect and only is None:
            hold(self.expect, made)
        return runs


def to_compare(runs: list[Run]) -> list[Path]:
    """Folders that give a row each: models, and exports of models that are none of the recipe's."""
    models = [run.folder for run in runs if run.record["verb"] in ("train", "prune", "quantize")]
    own = {folder.resolve() for folder in models}
    exports = [run for run in runs if run.record["verb"] == "export"]
    return models + [run.folder for run in exports if _origin(run) not in own]


def _origin(export: Run) -> Path:
    """The folder that an export was made from."""
    return (export.folder / export.record["parents"]["parent"]["path"]).resolve()


def link(step: Any, made: dict[str, Path]) -> Any:
    """The step with ids of earlier steps replaced by their folders."""

    def place(name):
        return [place(item) for item in name] if isinstance(name, list) else str(made.get(name, name))

    return step.model_copy(
        update={role: place(getattr(step, role)) for role in step.references if getattr(step, role) is not None}
    )


def _read_steps(items: list[Item], grids: dict[str, list[str]], found: list[str]) -> tuple[list, list[str]]:
    """Config objects in order, without those that are wrong (their problems are in `found`); and the ids."""
    steps: list = []
    ids: list[str] = []
    for item in items:
        step, wrong = _read_step(item)
        found += map(item.at, wrong)  # the recipe's data stand in many steps; a mistake in them is told once
        found += _unknown_references(item, ids, grids)
        if "id" in item.options:
            name = str(item.options["id"])
            if name in ids:
                found.append(f"{item.place}.id: '{name}' is taken by an earlier step. Choose another.")
            ids.append(name)
        steps.append(step)
    return steps, ids


def _read_step(item: Item) -> tuple[Any, list[str]]:
    """The config object or None, and what is wrong."""
    model = step_class(item.verb)
    try:
        return model.model_validate(item.options), []
    except ValidationError as error:
        return None, problems(error, model, prefix=f"{item.place}.")


def _unknown_references(item: Item, ids: list[str], grids: dict[str, list[str]]) -> list[str]:
    """References that are neither an earlier id nor a run folder; a teacher may be a network too."""
    unknown = []
    for role in step_class(item.verb).references:
        names = item.options.get(role) or []
        if role == "teacher":
            names = split_teachers(names)
        for name in map(str, names if isinstance(names, list) else [names]):
            if any(not members and name.startswith(step) for step, members in grids.items()):
                continue  # what is wrong there has been said
            if name in grids:
                members = ", ".join(grids[name])
                ways = f"Name one of them, or write vary: {{{role}: {name}}} for a step for each."
                unknown.append(f"{item.place}.{role}: '{name}' stands for {members}. {ways}")
            elif name not in ids and not is_run(name) and not (role == "teacher" and is_known(name)):
                known = f" {suggest(name, ids)}" if ids else ""
                unknown.append(f"{item.place}.{role}: '{name}' is neither an earlier step nor a run folder.{known}")
    return unknown
