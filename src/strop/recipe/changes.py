"""What the command line changes in a recipe before it is read: --data and --set."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import suggest
from ..steps.options import DataConfig
from .vary import RECIPE_VERBS, Item, has_data, put


class _Place(NamedTuple):
    """Options that --set reaches: those of a step, of a verb's defaults, or (no verb) the recipe's data."""

    verb: str | None
    options: dict[str, Any]


def replace_data(raw: dict, data: str) -> None:
    """Put another source into the recipe's data block and into those of its steps."""
    places = [raw, *(raw["defaults"].values() if isinstance(raw.get("defaults"), dict) else ())]
    places += [options for item in raw["steps"] if isinstance(item, dict) for options in item.values()]
    for place in places:
        if not isinstance(place, dict) or place is not raw and "data" not in place:
            continue
        if isinstance(place.get("data"), dict):
            place["data"] = place["data"] | {"source": data}
        elif place is raw or isinstance(place["data"], str):
            place["data"] = {"source": data}


def set_written(raw: dict, changes: dict[str, str], found: list[str]) -> dict[str, str]:
    """Put --set into the recipe as it is written; what is left is about steps that a varied one stands for.

    ID.option and data.option replace what is there. defaults.VERB.option is what all steps of that verb have that say
    nothing else, so a step's own option wins.
    """
    named = _named(raw)
    later = {place: text for place, text in changes.items() if _names_member(named, place)}
    now = {place: text for place, text in changes.items() if place not in later}
    if not now:
        return later
    if not isinstance(raw.get("data"), dict):
        raw["data"] = {"source": raw["data"]} if raw.get("data") else {}
    defaults = {f"defaults.{verb}": _Place(verb, options) for verb, options in _open_defaults(raw, now).items()}
    _set({"data": _Place(None, raw["data"]), **defaults, **named}, now, found, raw["data"])
    return later


def set_members(items: list[Item], changes: dict[str, str], found: list[str]) -> None:
    """Put --set into single steps that a varied one stands for."""
    places = {str(item.options["id"]): _Place(item.verb, item.options) for item in items if "id" in item.options}
    _set(places, changes, found, {})


def _named(raw: dict) -> dict[str, _Place]:
    """The options that --set reaches, by id, as they are written."""
    return {
        str(options["id"]): _Place(verb, options)
        for item in raw["steps"]
        if isinstance(item, dict)
        for verb, options in item.items()
        if isinstance(options, dict) and "id" in options
    }


def _names_member(named: dict[str, _Place], place: str) -> bool:
    """Whether --set may name a step that a varied one stands for: those have ids only when it is spread out."""
    is_written = any(place.startswith(f"{id}.") for id in named)
    return not is_written and any("vary" in named[id].options and place.startswith(f"{id}-") for id in named)


def _open_defaults(raw: dict, changes: dict[str, str]) -> dict[str, dict]:
    """The defaults of each verb that has some or is to get some; what is not readable there is told elsewhere."""
    asked = {place.split(".")[1] for place in changes if place.startswith("defaults.")}
    written = raw.get("defaults")
    if asked & set(RECIPE_VERBS) and written is None:
        raw["defaults"] = written = {}
    if not isinstance(written, dict):
        return {}
    for verb in asked & set(RECIPE_VERBS):
        written.setdefault(verb, {})
    return {str(verb): options for verb, options in written.items() if isinstance(options, dict)}


def _set(places: dict[str, _Place], changes: dict[str, str], found: list[str], data: dict[str, Any]) -> None:
    """Put each value into its place; `data` are the recipe's, of which a step gets its own copy to change."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    for place, text in changes.items():
        dotted = [name for name in places if place.startswith(f"{name}.")]  # an id may have dots
        name = max(dotted, key=len, default=place.partition(".")[0])
        option = place[len(name) + 1 :]
        if name not in places or not option:
            found.append(f"--set {place}: {_unknown(name, place, places)}")
            continue
        try:
            value = YAML(typ="safe", pure=True).load(text)
        except YAMLError:
            found.append(f"--set {place}: '{text}' is not a YAML value. Write it as in the recipe.")
            continue
        problem = _put(places[name], option, value, data)
        if problem:
            found.append(f"--set {place}: {problem}")


def _unknown(name: str, place: str, places: dict[str, _Place]) -> str:
    if name != "defaults":
        return f"'{name}' is not a step. {suggest(name, places)}"
    verb = place.split(".")[1] if "." in place else ""
    if verb in RECIPE_VERBS:
        return f"has no option. Write --set defaults.{verb}.OPTION=VALUE."
    return f"'{verb}' is no step that has defaults. {suggest(verb, RECIPE_VERBS)}"


def _put(place: _Place, option: str, value: Any, data: dict[str, Any]) -> str | None:
    """Set an option, or one of the data or of a part by a dot; what is wrong where there is none."""
    if place.verb is None or "." not in option:
        place.options[option] = value  # whether there is such an option is checked with the whole recipe
        return None
    name = option.removeprefix("data.")
    if name != option:
        if not has_data(place.verb) or name not in DataConfig.model_fields:
            known = list(DataConfig.model_fields) if has_data(place.verb) else []
            return f"is no option that can be set. {suggest(name, known) if known else 'The step takes its data over.'}"
        place.options.setdefault("data", dict(data))
    return put(place.verb, place.options, option, value, "set")
