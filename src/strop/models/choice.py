"""A network as users write it: a name, and options for its builder.

`resnet18`, `tv:resnet18`, `squeezenet:sr=0.25,bypass=simple`, `timm:resnet18:drop_rate=0.2`, or in YAML
`{squeezenet: {sr: 0.25}}`. A list is written `depths=2,2`, one of a single item `[2]`. Checking one imports no torch.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from ..config import Part, check_options, split_part, write_part
from ..errors import UserError
from . import NOT_OPTIONS, PREFIXES, models, refused, resolve

_BETWEEN = re.compile(r",(?=\s*\w+\s*=)")


def read_model(value: Any) -> Part | None:
    """The network that `value` names; options of our own models are checked and completed.

    What the builders of torchvision and timm take is known only to them: their options are kept as plain values,
    and a wrong one is refused when the network is built.

    Raises:
        ValueError: nothing has this name, or options that our own model does not take.

    Example:
        >>> read_model("squeezenet:sr=0.25").options["sr"], read_model("timm:swin_tiny_patch4_window7_224:depths=2,2")
        (0.25, Part(name='timm:swin_tiny_patch4_window7_224', options={'depths': (2, 2)}))
    """
    if value is None or isinstance(value, Part):
        return value
    name, given = _split(value)
    try:
        library, there = resolve(name)
    except UserError as error:
        raise ValueError(" ".join(error.problems)) from None
    wrong = refused(given)
    if wrong:
        raise ValueError(" ".join(wrong))
    if library == "strop":
        known = {key: option for key, option in models.entries()[there].options.items() if key not in NOT_OPTIONS}
        return Part(name=name, options=check_options(name, known, given))
    return Part(name=name, options={key: _plain(text) for key, text in given.items()})


def written_model(part: Part) -> str:
    """The shortest text that `read_model` reads as this network: defaults of our own models are left out.

    Example:
        >>> written_model(read_model("squeezenet:sr=0.25,bypass=none"))
        'squeezenet:sr=0.25'
    """
    library, there = resolve(part.name)
    known = models.entries()[there].options if library == "strop" else {}
    told = {key: value for key, value in part.options.items() if key not in known or known[key].default != value}
    return part.name + ":" * bool(told) + ",".join(f"{key}={_written_value(value)}" for key, value in told.items())


def _written_value(value: Any) -> str:
    several = isinstance(value, tuple) and len(value) > 1
    return ",".join(map(str, value)) if several else str(list(value) if isinstance(value, tuple) else value)


def _split(value: Any) -> tuple[str, dict[str, Any]]:
    prefix, colon, rest = value.partition(":") if isinstance(value, str) else ("", "", value)
    if colon and prefix in PREFIXES:
        name, given = split_part(_with_lists(rest))
        return f"{prefix}:{name}", given
    if colon and rest and "=" not in rest:
        return value, {}  # the look-up says what is wrong with torch:resnet18
    return split_part(_with_lists(value))


def _with_lists(value: Any) -> Any:
    """`swin:depths=2,2,num_heads=2,4` taken apart only where an option begins, so that values may have commas."""
    if not isinstance(value, str):
        return value
    name, _, rest = value.partition(":")
    pairs = [text.partition("=") for text in _BETWEEN.split(rest.rstrip(", "))]
    return {name: {key.strip(): text.strip() for key, _, text in pairs}} if all(each[1] for each in pairs) else value


def _plain(value: Any) -> Any:
    """A text as the literal that it is, else itself; lists as tuples. What is not plain is refused."""
    if isinstance(value, str):
        words = {"true": True, "false": False, "none": None}
        if value.lower() in words:
            return words[value.lower()]
        try:
            value = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            return value
    if not all(isinstance(each, bool | int | float | str | None) for each in _each(value)):
        raise ValueError(f"{value!r} is neither a number, a text, true, false nor a list of these: 2,2 or [2].")
    return tuple(value) if isinstance(value, list) else value


def _each(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


ModelField = Annotated[
    Part | None,
    BeforeValidator(read_model),
    PlainSerializer(lambda part: None if part is None else write_part(part)),
]
