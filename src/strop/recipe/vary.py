"""Steps as a recipe writes them, spread out: with their defaults, and one for each combination of what varies."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..config import split_part
from ..errors import suggest
from ..steps import VERBS, step_class
from ..steps.options import DataConfig

RECIPE_VERBS = [verb for verb in VERBS if verb not in ("predict", "verify", "audit", "info")]
MOST = 64  # combinations of one step
MOST_STEPS = 500  # of one recipe


class Item(NamedTuple):
    """One step as it is written.

    Attributes:
        place: where it stands in the file.
        step: its id before it was varied.
        shares_data: its data are those of the recipe.
        varied: the options that differ between the steps made of it.
    """

    place: str
    verb: str
    options: dict[str, Any]
    step: str | None
    shares_data: bool = False
    varied: tuple[str, ...] = ()

    def at(self, line: str) -> str:
        """A sentence about the step, beginning with the place where the user wrote what is wrong."""
        for option in self.varied:
            for place in (f"{self.place}.{option}:", f"{self.place}.data.{option}:"):
                line = line.replace(place, f"{self.place}.vary.{option}:", 1)
        return line.replace(f"{self.place}.data", "data", 1) if self.shares_data else line


def spread(raw: dict, found: list[str]) -> tuple[list[Item], dict[str, list[str]]]:
    """The steps of a recipe in order, and the ids that each varied step stands for.

    `vary: {input_size: [224, 320], lr: [0.1, 0.01]}` makes four steps, ID-224-0.1 and so on. What is varied is an
    option of the step, one of its data (`input_size`), one of a part (`model.sr`), or what it takes:
    `vary: {parent: ID}` makes a step for each that a varied step stands for.

    Args:
        found: gets a sentence for each mistake; a step with a mistake is left out.
    """
    defaults = _read_defaults(raw.get("defaults"), found)
    items: list[Item] = []
    grids: dict[str, list[str]] = {}
    for number, written in enumerate(raw["steps"]):
        item = _read_item(f"steps[{number}]", written, found)
        if item is None:
            continue
        options = dict(defaults.get(item.verb, {}), **item.options)
        shares_data = bool(raw.get("data")) and "data" not in options and has_data(item.verb)
        if shares_data:
            options["data"] = raw["data"]
        _open_lists(item.verb, options, grids)
        item = item._replace(options=options, shares_data=shares_data)
        if "vary" in options:
            members = list(_combine(item, grids, found))
            if item.step is not None:
                grids[item.step] = [str(member.options["id"]) for member in members]
            items += members
        else:
            items.append(item)
    if len(items) > MOST_STEPS:
        found.append(f"steps: {len(items)} with all combinations; at most {MOST_STEPS}. Write two recipes.")
    return items, grids


def _read_defaults(raw: Any, found: list[str]) -> dict[str, dict]:
    """`defaults: {train: {epochs: 5}}`: what steps of a verb have where they say nothing else."""
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        found.append(f"defaults: {raw!r} is not readable. Write 'defaults:' and below it 'train: {{epochs: 5}}'.")
        return {}
    kept = {}
    for verb, options in raw.items():
        if verb not in RECIPE_VERBS:
            found.append(f"defaults.{verb}: no step is called so. {suggest(str(verb), RECIPE_VERBS)}")
        elif not isinstance(options, dict):
            found.append(f"defaults.{verb}: {options!r} are no options. Write '{verb}: {{option: value}}'.")
        elif {"id", "out", "vary"} & set(options):
            found.append(f"defaults.{verb}: id, out and vary belong to one step. Write them there.")
        else:
            unknown = [name for name in options if name not in step_class(verb).model_fields]
            known = list(step_class(verb).model_fields)
            found += [f"defaults.{verb}.{name}: unknown option. {suggest(str(name), known)}" for name in unknown]
            kept[verb] = {name: value for name, value in options.items() if name not in unknown}
    return kept


def _read_item(place: str, written: Any, found: list[str]) -> Item | None:
    if not (isinstance(written, dict) and len(written) == 1):
        found.append(f"{place}: {written!r} is not a step. Write '- train: {{...}}' with one verb a step.")
        return None
    [(verb, options)] = written.items()
    if verb not in RECIPE_VERBS:
        found.append(f"{place}.{verb}: unknown step. {suggest(str(verb), RECIPE_VERBS)}")
        return None
    if not isinstance(options, dict | None):
        found.append(f"{place}.{verb}: {options!r} are no options. Write '- {verb}: {{option: value}}'.")
        return None
    options = dict(options or {})
    return Item(f"{place}.{verb}", verb, options, str(options["id"]) if "id" in options else None)


def has_data(verb: str) -> bool:
    """Whether the step says itself what pictures it sees; the others take those of the run they begin with."""
    field = step_class(verb).model_fields.get("data")
    return field is not None and field.annotation is DataConfig


def _open_lists(verb: str, options: dict, grids: dict[str, list[str]]) -> None:
    """In a list of runs (`parents: [scratch]`), the name of a varied step is all that it stands for."""
    for role in step_class(verb).references:
        if isinstance(options.get(role), list):
            options[role] = [name for item in options[role] for name in grids.get(str(item), [item])]


def _combine(item: Item, grids: dict[str, list[str]], found: list[str]) -> Iterator[Item]:
    """The step once for each combination."""
    options = dict(item.options)
    varied = options.pop("vary")
    if item.step is None:
        found.append(f"{item.place}.vary: the step needs an id, from which those of its combinations are made.")
        return
    if not isinstance(varied, dict) or not varied:
        found.append(f"{item.place}.vary: {varied!r} is not readable. Write for example {{input_size: [224, 320]}}.")
        return
    before = len(found)
    columns = [_read_values(item, str(option), values, grids, found) for option, values in varied.items()]
    count = math.prod(map(len, columns))
    if count > MOST:
        found.append(f"{item.place}.vary: {count} combinations; at most {MOST}. Vary less, or write two steps.")
    if len(found) > before:
        return
    for chosen in itertools.product(*columns):
        made, places = dict(options), dict(zip(varied, chosen, strict=True))
        for option, (value, _) in places.items():
            problem = put(item.verb, made, str(option), value)
            if problem:
                found.append(f"{item.place}.vary.{option}: {problem}")
                return
        made["id"] = "-".join([item.step, *(word for _, word in chosen)])
        yield item._replace(options=made, varied=tuple(map(str, varied)))


def _read_values(item: Item, option: str, values: Any, grids: dict, found: list[str]) -> list[tuple[Any, str]]:
    """Each value with the word that stands for it in an id."""
    if option in step_class(item.verb).references and isinstance(values, str) and values in grids:
        return [(name, name.removeprefix(f"{values}-")) for name in grids[values]]
    if not isinstance(values, list) or not values:
        known = f" or the id of a varied step ({', '.join(grids)})" * (option == "parent" and bool(grids))
        found.append(f"{item.place}.vary.{option}: {values!r} is no list of values. Write [first, second]{known}.")
        return []
    if option in step_class(item.verb).references:
        values = [name for value in values for name in grids.get(str(value), [value])]
    return [(value, word(value)) for value in values]


def put(verb: str, options: dict, option: str, value: Any, done: str = "varied") -> str | None:
    """Set an option of the step, of its data, or of a part; what is wrong where there is none."""
    fields = step_class(verb).model_fields
    head, dot, rest = option.partition(".")
    if option in fields and option not in ("id", "out"):
        options[option] = value
    elif has_data(verb) and (option in DataConfig.model_fields or head == "data" and rest in DataConfig.model_fields):
        data = options.get("data")
        data = dict(data) if isinstance(data, dict) else {"source": data} if data is not None else {}
        options["data"] = data | {rest or option: value}
    elif dot and head in fields and options.get(head) is not None:
        try:
            name, given = split_part(options[head])
        except ValueError as error:
            return str(error)
        options[head] = {name: given | {rest: value}}
    else:
        known = [name for name in [*fields, *(DataConfig.model_fields if has_data(verb) else ())] if name != "id"]
        return f"is no option that can be {done}. {suggest(option, known)}"
    return None


def word(value: Any) -> str:
    """A value as a part of an id: letters, digits, '_', '.' and '-'."""
    if isinstance(value, dict):
        words = (f"{name}-{word(inner)}" if inner else str(name) for name, inner in value.items())
        text = "-".join(words)
    elif isinstance(value, list | tuple):
        text = "-".join(map(word, value))
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    return re.sub(r"[^\w.]+", "-", text).strip("-") or "none"
