"""Step configs as command-line options: the fields are the flags, and the config does all the checking."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any, get_args

from cyclopts import Parameter

from .config import validate
from .errors import suggest
from .grouping import group_of, in_order
from .steps import step_class
from .steps.options import DataConfig
from .steps.step import Step

_SWITCH: dict[str, Any] = {"negative": "", "show_default": False}
_JSON = {**_SWITCH, "name": "--json", "help": "print one JSON object on stdout, the log on stderr"}
JsonFlag = Annotated[bool, Parameter(**_JSON)]
DryRunFlag = Annotated[
    bool, Parameter(**_SWITCH, help="print the plan, with time and memory of each step, and run nothing")
]
SmokeFlag = Annotated[
    bool, Parameter(**_SWITCH, help="run every step, made small: few pictures, one epoch, small networks")
]


def make_command(verb: str) -> Callable:
    """A function whose signature has an option for each field of the step; it gives back what it was given.

    Values stay text here, so that a wrong one is reported together with all other mistakes.
    """

    def command(**given: Any) -> dict[str, Any]:
        return given

    parameters = list(_parameters(step_class(verb)))
    paragraphs = inspect.getdoc(step_class(verb)).split("\n\n")
    command.__name__, command.__doc__ = verb, "\n\n".join(text.replace("\n", " ") for text in paragraphs)
    command.__signature__ = inspect.Signature(parameters)
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def usage(verb: str) -> str:
    """The first line of its help."""
    model = step_class(verb)
    fields = _flat_fields(model)
    words = [name.upper() + "..." * ("list" in str(fields[name].annotation)) for name in model.positional]
    return " ".join(["Usage: strop", verb, *words, "[OPTIONS]"])


def split_unknown(verb: str, words: list[str]) -> tuple[list[str], list[str]]:
    """(the words without unknown options, the unknown options); an unknown option takes its value with it."""
    model = step_class(verb)
    known = {"--" + name.replace("_", "-") for name in _flat_fields(model) if name not in model.positional}
    kept, unknown, skip = [], [], False
    for position, word in enumerate(words):
        flag, equals, _ = word.partition("=")
        following = words[position + 1] if position + 1 < len(words) else "--"
        if skip:
            skip = False
        elif flag.startswith("--") and flag not in known | {"--json", "--help", "--version", "--"}:
            unknown.append(f"{flag}: unknown option. {suggest(flag, known)}")
            skip = not equals and not following.startswith("--")
        else:
            kept.append(word)
    return kept, unknown


def read_step(verb: str, given: dict[str, Any], found: list[str]) -> Any:
    """The validated step. Raises one UserError with every mistake of the command line.

    Args:
        given: option values as text; None where not given.
        found: mistakes that are known already.
    """
    model, where = step_class(verb), f"strop {verb}"
    return validate(model, _nest(model, given), where, as_flag=True, found=found)


def _flat_fields(model: type) -> dict[str, Any]:
    """Fields of a step, its own before those that all steps have; those of its data config stand beside them."""
    fields: dict[str, Any] = {}
    for name, field in sorted(model.model_fields.items(), key=lambda item: item[0] in Step.model_fields):
        fields[name] = field
        if field.annotation is DataConfig:
            fields |= {inner: f for inner, f in DataConfig.model_fields.items() if inner != "source"}
    return fields


def _parameters(model: type) -> Iterator[inspect.Parameter]:
    fields = _flat_fields(model)
    for name in model.positional:
        many = "list" in str(fields[name].annotation)
        kind = inspect.Parameter.VAR_POSITIONAL if many else inspect.Parameter.POSITIONAL_ONLY
        about = Parameter(help=fields[name].description, show_default=False, allow_leading_hyphen=many)  # "-" is stdin
        hint = Annotated[str if many else str | None, about]
        yield inspect.Parameter(name, kind, annotation=hint, default=inspect.Parameter.empty if many else None)
    for name, field in in_order(fields).items():
        if name not in model.positional:
            text, default = _help(field)
            about = Parameter(
                name="--" + name.replace("_", "-"),
                help=text,
                show_default=(lambda _, default=default: default) if default else False,
                metavar=_metavar(field),
                negative="",
                group=group_of(model, name),
            )
            hint = Annotated[bool | None if field.annotation is bool else str | None, about]
            yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=None)
    json = Annotated[bool, Parameter(**_JSON, group=group_of(model, "json"))]
    yield inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, annotation=json, default=False)


def _metavar(field: Any) -> str:
    kind = str(field.annotation)
    if "Part" in kind:
        return "NAME"
    return "N" if re.search(r"\bint\b", kind) else "X" if re.search(r"\bfloat\b", kind) else "TEXT"


def _help(field: Any) -> tuple[str, str | None]:
    """What it means, with every choice, and what it is where it is not given; a switch is off."""
    text, found = field.description or "", None
    if match := re.fullmatch(r"(.*) \(default: (.*)\)", text):
        text, found = match[1], match[2]
    choices = [str(choice) for choice in get_args(field.annotation) if isinstance(choice, str)]
    if any(choice not in text for choice in choices):
        text = f"{', '.join(choices)}: {text}"
    if found is None and field.annotation is not bool and not field.is_required():
        found = _shown(field.default)
    return text, found


def _shown(value: Any) -> str:
    """A default as it would be written."""
    if value in (None, ()) and value is not False:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _nest(model: type, given: dict[str, Any]) -> dict[str, Any]:
    """Drop what was not given; put --validation and --input-size into `data`."""
    given = {name: value for name, value in given.items() if value not in (None, ()) and name != "json"}
    raw = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if name in model.model_fields
    }
    inner = {name: value for name, value in given.items() if name not in model.model_fields}
    if inner:
        raw["data"] = inner | ({"source": raw["data"]} if "data" in raw else {})
    return raw
