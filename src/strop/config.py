"""From YAML, flags or Python to validated, frozen steps; every mistake is reported at once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from .errors import UserError, suggest
from .registry import REQUIRED, Option, Registry


class Strict(BaseModel):
    """A frozen config without unknown fields and without silent conversions."""

    model_config = ConfigDict(defer_build=True, strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Command(Strict):
    """A config that a user makes: on the command line, in a recipe, or here, in Python.

    Raises:
        UserError: every mistake, in the words of the command line.
    """

    def __init__(self, **given: Any):
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise UserError(f"strop.{type(self).__name__}", *problems(error, type(self))) from None

    # Without it pydantic would come through here when it validates, and `validate` below would find no mistakes.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


class Part(Strict):
    """A registered part by name, with all of its options resolved.

    Written `kd`, `kd:temperature=4,standardize=false`, or in YAML `{kd: {temperature: 4}}`.
    """

    name: str
    options: dict[str, Any] = {}


def part_of(registry: Registry, *, optional: bool = False) -> Any:
    """The type of a field that names a part of `registry`; its options are checked too.

    Args:
        optional: null and "none" mean no part.
    """

    def parse(value: Any) -> Part | None:
        if isinstance(value, Part) or optional and value in (None, "none"):
            return None if value == "none" else value
        name, given = split_part(value)
        entry = registry.entries().get(name)
        if entry is None:
            raise ValueError(f"'{name}' is not a known {registry.kind}. {suggest(name, registry.names())}")
        return Part(name=name, options=check_options(name, entry.options, given))

    return Annotated[Part | None if optional else Part, BeforeValidator(parse), PlainSerializer(write_part)]


def write_part(part: Part | None) -> Any:
    if part is None:
        return "none"
    return {part.name: dict(part.options)} if part.options else part.name


def split_part(value: Any) -> tuple[str, dict[str, Any]]:
    """`kd:temperature=4` or `{kd: {temperature: 4}}` as a name and its options, which may still be text."""
    if isinstance(value, dict) and len(value) == 1:
        [(name, options)] = value.items()
        if isinstance(options, dict | None):
            return str(name), dict(options or {})
    if isinstance(value, str):
        name, _, rest = value.partition(":")
        pairs = [pair.partition("=") for pair in rest.split(",") if pair]
        bad = [key for key, equals, _ in pairs if not equals]
        if not bad:
            return name, {key.strip(): text.strip() for key, _, text in pairs}
    raise ValueError(f"{value!r} is not readable. Write a name, name:option=value, or {{name: {{option: value}}}}.")


def check_options(name: str, known: dict[str, Option], given: dict[str, Any]) -> dict[str, Any]:
    """All options of a part, each in its type, defaults filled in. Raises ValueError with every mistake."""
    problems = [f"{name}.{key}: unknown option. {suggest(key, known)}" for key in given if key not in known]
    problems += [
        f"{name}.{key}: is missing." for key, option in known.items() if option.default is REQUIRED and key not in given
    ]
    resolved = {}
    for key, option in known.items():
        if key in given:
            try:
                resolved[key] = _convert(given[key], option.type)
            except ValueError:
                quote = " Put it in quotes." if option.type == "str" else ""
                problems.append(f"{name}.{key}: {given[key]!r} is not a value of type {option.type}.{quote}")
        elif option.default is not REQUIRED:
            resolved[key] = option.default
    if problems:
        raise ValueError(" ".join(problems))
    return resolved


def _convert(value: Any, kind: str) -> Any:
    """A text or YAML value as the annotated type; only plain literals, nothing is evaluated."""
    kinds = {word.strip() for word in kind.split("|")}
    lowered = value.lower() if isinstance(value, str) else value
    if lowered in (None, "none") and "None" in kinds:
        return None
    if isinstance(value, str) and "str" not in kinds:
        if lowered in ("true", "false") and "bool" in kinds:
            return lowered == "true"
        try:
            value = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            raise ValueError(value) from None
    if isinstance(value, bool):
        fits = "bool" in kinds
    elif isinstance(value, int):
        fits = bool({"int", "float"} & kinds)
        value = float(value) if fits and "int" not in kinds else value
    elif isinstance(value, float):
        fits = "float" in kinds
    else:
        fits = isinstance(value, str) and "str" in kinds
    if not fits:
        raise ValueError(value)
    return value


class Budget(Strict):
    """What may remain: a share of the parent, or a count.

    >>> Budget.read("9%").limit(11_181_642)
    1006347
    >>> Budget.read("0.96M").limit(11_181_642)
    960000
    """

    text: str
    share: Fraction | None = None  # exact: as a float, 29% of 100 would be 28
    count: int | None = None

    UNITS: ClassVar[dict[str, int]] = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}

    @classmethod
    def read(cls, value: Any) -> Budget:
        if isinstance(value, Budget):
            return value
        text = str(value).strip()
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%|[kMG]?)", text)
        if not match or isinstance(value, bool):
            raise ValueError(f"'{text}' is not a budget. Write a share (9%) or a count (0.96M).")
        number, unit = Fraction(match[1]), match[2]
        if unit == "%":
            if not 0 < number <= 100:
                raise ValueError(f"'{text}' is out of range. A share is above 0% and at most 100%.")
            return cls(text=text, share=number / 100)
        if number < 1000 and not unit:
            share = f"{float(100 * number if number < 1 else number):g}%"
            raise ValueError(f"'{text}' is ambiguous. For a share write {share}, for a count write {text}k or {text}M.")
        count = round(number * cls.UNITS[unit])
        if count < 1:
            raise ValueError(f"'{text}' is out of range. A count is at least 1.")
        return cls(text=text, count=count)

    def limit(self, whole: int) -> int:
        return int(self.share * whole) if self.share is not None else int(self.count)


def read_bytes(value: Any) -> Budget:
    """A budget whose unit may have a B: 0.5MB is half a million bytes.

    >>> read_bytes("0.5MB").count
    500000
    """
    if isinstance(value, Budget):
        return value
    text = str(value).strip()
    try:
        return Budget.read(text.removesuffix("B")).model_copy(update={"text": text})
    except ValueError:
        raise ValueError(f"'{text}' is not a size. Write for example 0.5MB, 300kB, or a share (12%).") from None


class TimeBudget(Strict):
    """What one picture may take: a share of the parent's time, or milliseconds.

    >>> TimeBudget.read("1.5ms").limit(4.0)
    1.5
    >>> TimeBudget.read("25%").limit(4.0)
    1.0
    """

    text: str
    share: float | None = None
    milliseconds: float | None = None

    UNITS: ClassVar[dict[str, float]] = {"us": 1e-3, "ms": 1.0, "s": 1e3}

    @classmethod
    def read(cls, value: Any) -> TimeBudget:
        if isinstance(value, TimeBudget):
            return value
        text = str(value).strip()
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%|us|ms|s)", text)
        if not match:
            raise ValueError(f"'{text}' is not a time. Write milliseconds (1.5ms), or a share of the parent's (25%).")
        number, unit = float(match[1]), match[2]
        if number <= 0 or unit == "%" and number >= 100:
            raise ValueError(f"'{text}' is out of range. A time is above 0, and a share is below 100%.")
        if unit == "%":
            return cls(text=text, share=number / 100)
        return cls(text=text, milliseconds=number * cls.UNITS[unit])

    def limit(self, whole: float) -> float:
        return self.share * whole if self.share is not None else float(self.milliseconds)


BudgetField = Annotated[Budget, BeforeValidator(Budget.read), PlainSerializer(lambda budget: budget.text)]
ByteBudgetField = Annotated[Budget, BeforeValidator(read_bytes), PlainSerializer(lambda budget: budget.text)]
TimeBudgetField = Annotated[TimeBudget, BeforeValidator(TimeBudget.read), PlainSerializer(lambda budget: budget.text)]


def _read_reference(value: Any) -> str:
    folder = getattr(value, "folder", value)
    text = str(folder)
    if not text or "\0" in text:
        raise ValueError(f"{value!r} is not a run. Give a run folder, or in a recipe the id of an earlier step.")
    return text


RunReference = Annotated[str, BeforeValidator(_read_reference)]


def validate(
    model: type[Strict], raw: dict[str, Any], where: str, *, as_flag: bool = False, found: Iterable[str] = ()
) -> Any:
    """Build `model` from `raw`; all mistakes come in one UserError.

    Args:
        where: what the message begins with: the file, or the command.
        as_flag: values are text from a command line, so "10" may become 10 and fields are shown as --flags.
        found: mistakes that are known already. What fields must be to each other is not judged beside them: a
            misspelt --model is no missing model. (Where a field is wrong, pydantic does not judge it either.)
    """
    found = list(found)
    try:
        made = model.model_validate(raw, strict=None if not as_flag else False)
    except ValidationError as error:
        found += problems(error, model, as_flag=as_flag, between=not found)
    if found:
        raise UserError(where, *found)
    return made


def problems(
    error: ValidationError, model: type[Strict], *, prefix: str = "", as_flag: bool = False, between: bool = True
) -> list[str]:
    """One sentence for each mistake; `between` includes those between fields."""
    return [_sentence(item, model, prefix, as_flag) for item in error.errors() if item["loc"] or between]


def _sentence(item: dict, model: type[Strict], prefix: str, as_flag: bool) -> str:
    path = [str(step) for step in item["loc"] if not str(step).startswith("function-")]
    value, context = item["input"], item.get("ctx", {})
    reason = str(context.get("error", item["msg"]))
    if not path:  # a rule between fields begins with the field to change
        field, _, reason = reason.partition(": ")
        path = [field]
    place = _shown_place(model, path) if as_flag else prefix + ".".join(path)
    match item["type"]:
        case "extra_forbidden":
            owner = _owner(model, path[:-1])
            known = [_flag(name) for name in owner] if as_flag else owner
            return f"{place}: unknown option. {suggest(path[-1], known)}"
        case "missing":
            return f"{place}: is missing{_describe(model, path)}."
        case "value_error" | "assertion_error":
            return f"{place}: {reason}"
        case "literal_error":
            options = re.findall(r"'([^']*)'", str(context["expected"]))
            return f"{place}: '{value}' is not an option. {suggest(str(value), options)}"
        case "int_parsing" | "int_type" | "int_from_float":
            example = f"{place} 10" if as_flag else f"{path[-1]}: 10"
            return f"{place}: {value!r} is not a whole number. Write for example {example}."
        case "float_parsing" | "float_type" | "finite_number":
            return f"{place}: {value!r} is not a number. Write for example 0.05 or 1e-3."
        case "bool_parsing" | "bool_type":
            return f"{place}: {value!r} is neither true nor false."
        case "greater_than_equal" | "greater_than" | "less_than_equal" | "less_than":
            return f"{place}: {value!r} is out of range. {item['msg'].replace('Input should be', 'It must be')}."
        case "string_pattern_mismatch":
            return f"{place}: {value!r} does not fit{_describe(model, path)}."
        case "string_type":
            return f"{place}: {value!r} is not text. Put it in quotes."
        case _:
            return f"{place}: {value!r}: {item['msg']}."


def _shown_place(model: type[Strict], path: list[str]) -> str:
    """How the command line writes a field: NAME where it is an argument, --name where it is an option."""
    if path[-1] in getattr(model, "positional", ()):
        return path[-1].upper()
    return "--" + _flag(path[-1])


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _owner(model: type[Strict], path: Iterable[str]) -> list[str]:
    """Field names of the (nested) config at `path`."""
    for step in path:
        field = model.model_fields.get(step)
        nested = field.annotation if field else None
        if not (isinstance(nested, type) and issubclass(nested, Strict)):
            break
        model = nested
    return list(model.model_fields)


def _describe(model: type[Strict], path: list[str]) -> str:
    field = model.model_fields.get(path[-1]) if path else None
    return f"; give: {field.description}" if field is not None and field.description else ""
