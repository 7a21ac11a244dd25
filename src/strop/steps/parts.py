"""Types of fields that name parts in more ways than `part_of` reads."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter, ValidationError

from ..augment import PRESETS, augmentations
from ..augment.mixing import mixings
from ..config import Part, part_of, write_part
from ..distill import losses as distillation_losses
from ..distill.maps import maps as map_losses
from ..errors import suggest
from ..registry import Registry
from ..train.optimizers import optimizers
from ..train.timm_optimizers import NAMES
from ..train.weights import read_class_weights


def _parse(registry: Registry, value: Any) -> Part:
    """What `part_of` makes of it. Raises ValueError with one sentence for each mistake."""
    try:
        return TypeAdapter(part_of(registry)).validate_python(value)
    except ValidationError as error:
        raise ValueError(" ".join(str(problem["ctx"]["error"]) for problem in error.errors())) from None


def _read_augment(value: Any) -> tuple[Part, ...]:
    """Presets and augmentations with their options: a list, or text joined by "+"."""
    items = value.split("+") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
    expanded = [part for item in items for part in (PRESETS[item] if _is_preset(item) else [item])]
    parts, reasons = [], []
    for item in expanded:
        try:
            parts.append(_parse(_registry_of(item), item))
        except ValueError as error:
            reasons.append(str(error))
    if reasons:
        raise ValueError(f"{' '.join(reasons)} Presets: {', '.join(PRESETS)}.")
    return tuple(parts)


def _is_preset(item: Any) -> bool:
    return isinstance(item, str) and item in PRESETS


def _registry_of(item: Any) -> Registry:
    """Where the part is looked up; what can't be read at all is left to `part_of`."""
    name = name_of(item)
    if name and name not in augmentations.entries() and name not in mixings.entries():
        known = [*augmentations.names(), *mixings.names()]
        raise ValueError(f"'{name}' is not a known augmentation. {suggest(name, known)}")
    return mixings if name in mixings.entries() else augmentations


def name_of(value: Any) -> str:
    """The name of a part however it is written; empty where it can't be read."""
    name = value.name if isinstance(value, Part) else next(iter(value), "") if isinstance(value, dict) else value
    return name.partition(":")[0] if isinstance(name, str) else ""


def split_mixing(parts: tuple[Part, ...]) -> tuple[list[Part], list[Part]]:
    """Those that change one picture at a time, and those that mix a batch."""
    mixing = mixings.entries()
    return [part for part in parts if part.name not in mixing], [part for part in parts if part.name in mixing]


def _read_optimizer(value: Any) -> Part:
    """One of ours, or timm:NAME, timm:NAME:option=value, {timm:NAME: {option: value}}."""
    if isinstance(value, str) and value.startswith("timm:"):
        name, _, options = value.removeprefix("timm:").partition(":")
        value = value if "=" in name else ",".join(filter(None, [f"timm:name={name}", options]))
    elif isinstance(value, dict) and len(value) == 1:
        [(name, options)] = value.items()
        if isinstance(name, str) and name.startswith("timm:") and isinstance(options, dict | None):
            value = {"timm": {"name": name.removeprefix("timm:"), **(options or {})}}
    if name_of(value) in NAMES and name_of(value) not in optimizers.entries():
        raise ValueError(f"'{name_of(value)}' is one of timm's. Write timm:{name_of(value)}.")
    part = _parse(optimizers, value)
    if part.name == "timm":
        written, known = f"timm:{part.options['name']}", [f"timm:{name}" for name in NAMES]
        if written not in known:
            raise ValueError(f"'{written}' is unknown. {suggest(written, known)}")
    return part


def written_optimizer(part: Part) -> str:
    """The shortest text that `--optimizer` reads as this one: defaults are left out.

    Example:
        >>> written_optimizer(Train(..., optimizer="timm:lamb:beta1=0.9,beta2=0.98").optimizer)
        'timm:lamb:beta1=0.9,beta2=0.98'
    """
    known = optimizers.entries()[part.name].options
    told = {key: value for key, value in part.options.items() if key != "name" and known[key].default != value}
    name = f"timm:{part.options['name']}" if part.name == "timm" else part.name
    return name + ":" * bool(told) + ",".join(f"{key}={value}" for key, value in told.items())


Optimizer = Annotated[Part, BeforeValidator(_read_optimizer), PlainSerializer(write_part)]

Augment = Annotated[
    tuple[Part, ...],
    BeforeValidator(_read_augment),
    PlainSerializer(lambda parts: [write_part(part) for part in parts]),
]

ClassWeights = Annotated[str | dict, BeforeValidator(read_class_weights)]


def _read_distill(value: Any) -> tuple[Part, ...]:
    """Losses on the teacher's answers and maps: a list, or text joined by "+", as in kd:temperature=2+hint."""
    if value in (None, "none", (), []):
        return ()
    items = re.split(r"\+(?=[a-z])", value) if isinstance(value, str) else value
    items = items if isinstance(items, list | tuple) else [items]
    known = [*distillation_losses.names(), *map_losses.names()]
    parts = []
    for item in items:
        name = name_of(item)
        if name and name not in known:
            raise ValueError(f"'{name}' is not a known distillation loss. {suggest(name, known)}")
        parts.append(_parse(map_losses if name in map_losses.entries() else distillation_losses, item))
    on_answers, on_maps = split_distill(tuple(parts))
    if len(on_answers) > 1:
        names = " and ".join(part.name for part in on_answers)
        raise ValueError(f"{names} all look at the teacher's answers. Choose one; losses on maps may join it.")
    if len({part.name for part in on_maps}) < len(on_maps):
        raise ValueError(f"{on_maps[0].name} is given twice. Join its stages: {on_maps[0].name}:student=layer2/layer3.")
    return tuple(parts)


def split_distill(parts: tuple[Part, ...]) -> tuple[list[Part], list[Part]]:
    """Those that look at the teacher's answers, and those that look at its maps."""
    on_maps = map_losses.entries()
    return [part for part in parts if part.name not in on_maps], [part for part in parts if part.name in on_maps]


def _write_distill(parts: tuple[Part, ...]) -> Any:
    return [write_part(part) for part in parts] if len(parts) > 1 else write_part(parts[0] if parts else None)


Distill = Annotated[tuple[Part, ...], BeforeValidator(_read_distill), PlainSerializer(_write_distill)]
