"""A recipe: steps in order, parents linked, finished ones skipped, expectations held at the end."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from .config import Strict, problems
from .errors import GateFailed, UserError, suggest
from .runs import Run
from .steps import VERBS, step_class
from .yaml import read_yaml

log = logging.getLogger("strop")
RECIPE_VERBS = [verb for verb in VERBS if verb not in ("predict", "audit", "info")]


class Expectation(Strict):
    """What a step's result must hold; accuracies in points of percent."""

    top1_drop_vs: str | None = Field(None, description="id of the step it is held against")
    at_most: float | None = Field(None, description="points that may be lost against it")
    top1_at_least: float | None = Field(None, ge=0, le=100, description="accuracy in %")

    @model_validator(mode="after")
    def _complete(self) -> Expectation:
        """An expectation that can't fail is a mistake."""
        if (self.top1_drop_vs is None) != (self.at_most is None):
            raise ValueError("top1_drop_vs: goes with at_most. Write {top1_drop_vs: ID, at_most: POINTS}.")
        if self.top1_drop_vs is None and self.top1_at_least is None:
            raise ValueError("top1_at_least: nothing is expected. Write for example {top1_at_least: 90}.")
        return self


class Recipe:
    """Validated steps, ready to run.

    Args:
        steps: config objects (`Train`, `Prune`, ...); a reference may be the id of an earlier step.
        expect: what must hold in the end, by id.
        name: names the folder under runs/.

    Example:
        >>> Recipe.load("recipes/fashion-mnist.yaml").run()
    """

    def __init__(self, steps: list, *, expect: dict[str, Expectation] | None = None, name: str = "recipe"):
        self.steps, self.expect, self.name = steps, expect or {}, name

    @classmethod
    def load(cls, path: str | Path, *, changes: dict[str, str] | None = None) -> Recipe:
        """Read and check a YAML file. Raises one UserError with every mistake in it.

        Args:
            changes: "ID.option" or "data.option" to the value that replaces it.
        """
        path = Path(path)
        raw = read_yaml(path)
        found: list[str] = []
        _apply(raw, changes or {}, found)
        steps, ids = _read_steps(raw, found)
        expect = _read_expectations(raw.get("expect") or {}, ids, found)
        found += [
            f"{name}: unknown key. {suggest(name, ['data', 'steps', 'expect'])}"
            for name in raw
            if name not in ("data", "steps", "expect")
        ]
        if found:
            raise UserError(str(path), *found)
        return cls(steps, expect=expect, name=path.stem)

    def run(self, *, out: str | Path | None = None, only: str | None = None) -> list[Run]:
        """Run the steps; those that are done and unchanged are skipped.

        Args:
            out: folder of the run folders (default: runs/NAME).
            only: id of the one step to run; the others must be done.
        Raises:
            GateFailed: an expectation does not hold. All runs are kept.
        """
        root = Path(out) if out is not None else Path("runs") / self.name
        ids = [step.id for step in self.steps if step.id]
        if only is not None and only not in ids:
            raise UserError(f"--only {only}", f"no step has this id. {suggest(only, ids)}")
        made: dict[str, Path] = {}
        runs = []
        for number, step in enumerate(self.steps, 1):
            if only is None or step.id == only:
                log.info("[%d/%d] %s %s", number, len(self.steps), step.verb, step.id or "")
                run = _link(step, made).execute(root=root)
                made[run.id if step.id is None else step.id] = run.folder
                runs.append(run)
            elif step.id:
                made[step.id] = root / step.id
        if self.expect and only is None:
            hold(self.expect, made)
        return runs


def _apply(raw: dict, changes: dict[str, str], found: list[str]) -> None:
    """Put --set ID.option=value into the raw recipe."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if changes and not isinstance(raw.get("data"), dict):
        raw["data"] = {"source": raw["data"]} if raw.get("data") else {}
    places = {"data": raw["data"]} if changes else {}
    for item in raw["steps"]:
        if isinstance(item, dict):
            places |= {
                str(options["id"]): options
                for options in item.values()
                if isinstance(options, dict) and "id" in options
            }
    for place, text in changes.items():
        name, _, option = place.partition(".")
        if name not in places or not option:
            found.append(f"--set {place}: '{name}' is not a step. {suggest(name, places)}")
            continue
        try:
            places[name][option] = YAML(typ="safe", pure=True).load(text)
        except YAMLError:
            found.append(f"--set {place}: '{text}' is not a YAML value. Write it as in the recipe.")


def _read_steps(raw: dict, found: list[str]) -> tuple[list, list[str]]:
    """Config objects in order, None where a step is wrong (its problems are in `found`); and the ids."""
    steps: list = []
    ids: list[str] = []
    for number, item in enumerate(raw["steps"]):
        place = f"steps[{number}]"
        if not (isinstance(item, dict) and len(item) == 1):
            found.append(f"{place}: {item!r} is not a step. Write '- train: {{...}}' with one verb a step.")
            steps.append(None)
            continue
        [(verb, options)] = item.items()
        if verb not in RECIPE_VERBS:
            found.append(f"{place}.{verb}: unknown step. {suggest(str(verb), RECIPE_VERBS)}")
            steps.append(None)
            continue
        if not isinstance(options, dict | None):
            found.append(f"{place}.{verb}: {options!r} are no options. Write '- {verb}: {{option: value}}'.")
            steps.append(None)
            continue
        options = dict(options or {})
        shares_data = verb == "train" and bool(raw.get("data")) and "data" not in options
        if shares_data:
            options["data"] = raw["data"]
        step, wrong = _read_step(verb, options, f"{place}.{verb}")
        if shares_data:  # a mistake in it is one mistake, at its own place
            wrong = [line.replace(f"{place}.{verb}.data", "data", 1) for line in wrong]
        found += [line for line in wrong if line not in found]
        found += _unknown_references(step_class(verb), options, ids, f"{place}.{verb}")
        if "id" in options:
            if str(options["id"]) in ids:
                found.append(f"{place}.{verb}.id: '{options['id']}' is taken by an earlier step. Choose another.")
            ids.append(str(options["id"]))
        steps.append(step)
    return steps, ids


def _read_step(verb: str, options: dict, place: str) -> tuple[Any, list[str]]:
    """The config object or None, and what is wrong."""
    model = step_class(verb)
    try:
        return model.model_validate(options), []
    except ValidationError as error:
        return None, problems(error, model, prefix=f"{place}.")


def _unknown_references(model: type, options: dict, ids: list[str], place: str) -> list[str]:
    """References that are neither an earlier id nor a run folder."""
    unknown = []
    for role in model.references:
        names = options.get(role) or []
        for name in names if isinstance(names, list) else [names]:
            if str(name) not in ids and not (Path(str(name)) / "run.json").is_file():
                known = f" {suggest(str(name), ids)}" if ids else ""
                unknown.append(f"{place}.{role}: '{name}' is neither an earlier step nor a run folder.{known}")
    return unknown


def _read_expectations(raw: Any, ids: list[str], found: list[str]) -> dict[str, Expectation]:
    if not isinstance(raw, dict):
        found.append(
            f"expect: {raw!r} is not readable. Write 'expect:' and below it 'ID: {{top1_at_least: 90}}' lines."
        )
        return {}
    expect = {}
    for name, options in raw.items():
        if name not in ids:
            found.append(f"expect.{name}: no step has this id. {suggest(str(name), ids)}")
            continue
        try:
            expect[name] = Expectation.model_validate(options)
        except ValidationError as error:
            found += problems(error, Expectation, prefix=f"expect.{name}.")
            continue
        versus = expect[name].top1_drop_vs
        if versus is not None and versus not in ids:
            found.append(f"expect.{name}.top1_drop_vs: no step has the id '{versus}'. {suggest(versus, ids)}")
    return expect


def _link(step: Any, made: dict[str, Path]) -> Any:
    """The step with ids of earlier steps replaced by their folders."""

    def place(name):
        return [place(item) for item in name] if isinstance(name, list) else str(made.get(name, name))

    return step.model_copy(
        update={role: place(getattr(step, role)) for role in step.references if getattr(step, role) is not None}
    )


def hold(expect: dict[str, Expectation], made: dict[str, Path]) -> None:
    """Raise GateFailed with every expectation that the results do not keep.

    Args:
        made: folder of each step by its id; the folder's name may be another (small-2).
    """
    from .report.rows import collect

    ids = {folder.resolve(): id for id, folder in made.items()}
    rows = collect(list(made.values())).rows
    accuracy = {ids[row.folder]: 100 * row.accuracy for row in rows if row.accuracy is not None}
    unmeasured = [name for name, wanted in expect.items() if not {name, wanted.top1_drop_vs or name} <= set(accuracy)]
    if unmeasured:
        raise GateFailed(f"expected, and not measured: {', '.join(unmeasured)} (no validation or test pictures)")
    broken = []
    for name, wanted in expect.items():
        if wanted.top1_drop_vs is not None and wanted.at_most is not None:
            drop = accuracy[wanted.top1_drop_vs] - accuracy[name]
            if drop > wanted.at_most:
                broken.append(f"{name} lost {drop:.2f} points against {wanted.top1_drop_vs}; at most {wanted.at_most}")
        if wanted.top1_at_least is not None and accuracy[name] < wanted.top1_at_least:
            broken.append(f"{name} reaches {accuracy[name]:.2f} %; at least {wanted.top1_at_least}")
    if broken:
        raise GateFailed("expected, and not reached: " + "; ".join(broken))
