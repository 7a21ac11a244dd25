"""Types of fields that name parts in more ways than `part_of` reads."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter, ValidationError

from ..augment import PRESETS, augmentations
from ..augment.mixing import mixings
from ..config import Part, part_of, write_part
from ..errors import suggest
from ..train.weights import read_class_weights


def _read_augment(value: Any) -> tuple[Part, ...]:
    """Presets and augmentations with their options: a list, or text joined by "+"."""
    items = value.split("+") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
    expanded = [part for item in items for part in (PRESETS[item] if _is_preset(item) else [item])]
    parts, reasons = [], []
    for item in expanded:
        try:
            parts.append(TypeAdapter(part_of(_registry_of(item))).validate_python(item))
        except ValidationError as error:
            reasons += [str(problem["ctx"]["error"]) for problem in error.errors()]
        except ValueError as error:
            reasons.append(str(error))
    if reasons:
        raise ValueError(f"{' '.join(reasons)} Presets: {', '.join(PRESETS)}.")
    return tuple(parts)


def _is_preset(item: Any) -> bool:
    return isinstance(item, str) and item in PRESETS


def _registry_of(item: Any) -> Any:
    """Where the part is looked up; what can't be read at all is left to `part_of`."""
    name = item.name if isinstance(item, Part) else next(iter(item), "") if isinstance(item, dict) else item
    name = name.partition(":")[0] if isinstance(name, str) else ""
    if name and name not in augmentations.entries() and name not in mixings.entries():
        known = [*augmentations.names(), *mixings.names()]
        raise ValueError(f"'{name}' is not a known augmentation. {suggest(name, known)}")
    return mixings if name in mixings.entries() else augmentations


def split_mixing(parts: tuple[Part, ...]) -> tuple[list[Part], list[Part]]:
    """Those that change one picture at a time, and those that mix a batch."""
    mixing = mixings.entries()
    return [part for part in parts if part.name not in mixing], [part for part in parts if part.name in mixing]


Augment = Annotated[
    tuple[Part, ...],
    BeforeValidator(_read_augment),
    PlainSerializer(lambda parts: [write_part(part) for part in parts]),
]

ClassWeights = Annotated[str | dict[str, float], BeforeValidator(read_class_weights)]
