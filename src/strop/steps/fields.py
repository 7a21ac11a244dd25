"""Types of the fields that say where a training starts and what of it trains."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WrapValidator

from ..data.parts import FEWEST
from ..errors import suggest
from ..models import IMAGENET
from ..models.freezing import read_stages

StagesField = Annotated[tuple[str, ...], BeforeValidator(read_stages), PlainSerializer(list)]

USUAL_BATCH, SMALL_BATCH, FEW_UPDATES = 128, 16, 8
_RATE = re.compile(r"parent(?:([*/])(\d+(?:\.\d*)?(?:e-?\d+)?|\.\d+))?", re.IGNORECASE)


def usual_batch(pictures: int, parts: int = 1) -> int:
    """The batch where none is asked for: 128, halved down to 16 while an epoch has fewer than 8 updates.

    Args:
        parts: into which a batch will be cut; each has two pictures at least.

    >>> usual_batch(5000), usual_batch(600), usual_batch(150)
    (128, 64, 16)
    """
    size = USUAL_BATCH
    while pictures < FEW_UPDATES * size and size > max(SMALL_BATCH, FEWEST * parts):
        size //= 2
    return max(size, FEWEST * parts)


def _read_rate(value: Any, read: Callable[[Any], float | None]) -> float | str | None:
    """A number, or text that begins with "parent"."""
    if not isinstance(value, str) or not value.lower().startswith("parent"):
        return read(value)
    text = value.replace(" ", "").lower()
    if not _RATE.fullmatch(text) or not scale_rate(text, 1.0):
        raise ValueError(f"'{value}' is not a learning rate. Write 0.05, parent, parent*0.1 or parent/10.")
    return text


def scale_rate(text: str, rate: float) -> float:
    """`parent*0.1` and `parent/10` with the parent's rate put in.

    >>> scale_rate("parent/10", 0.05)
    0.005
    """
    match = _RATE.fullmatch(text)
    factor = float(match[2] or 1)
    return rate * factor if match[1] != "/" else rate / factor if factor else 0.0


RateField = Annotated[float | None, Field(gt=0), WrapValidator(_read_rate), PlainSerializer(lambda rate: rate)]


NORMALIZATIONS = {
    "imagenet": IMAGENET,
    "half": {"mean": [0.5], "std": [0.5]},
    "none": {"mean": [0.0], "std": [1.0]},
}
_MEASURED = ("auto", "data")


def _read_normalize(value: Any) -> str:
    if isinstance(value, str) and value in (*NORMALIZATIONS, *_MEASURED):
        return value
    try:
        split_statistics(value)
    except (ValueError, AttributeError):
        known = ", ".join((*_MEASURED, *NORMALIZATIONS))
        example = "0.485,0.456,0.406/0.229,0.224,0.225"
        raise ValueError(f"{value!r} is no preprocessing. Write {known}, or mean/std such as {example}.") from None
    return value.replace(" ", "")


def split_statistics(text: str) -> tuple[list[float], list[float]]:
    """Mean and sd of pixels in [0, 1], one number or one a channel, from a name or from `mean/std`.

    >>> split_statistics("0.5/0.25")
    ([0.5], [0.25])
    """
    if text in NORMALIZATIONS:
        return NORMALIZATIONS[text]["mean"], NORMALIZATIONS[text]["std"]
    mean, std = ([float(number) for number in part.split(",")] for part in text.split("/"))
    if not (
        len(mean) == len(std)
        and len(mean) in (1, 3)
        and all(0 <= m <= 1 for m in mean)
        and all(0 < s < 10 for s in std)
    ):
        raise ValueError(text)
    return mean, std


NormalizeField = Annotated[str, BeforeValidator(_read_normalize)]


def _read_phases(value: Any) -> tuple[dict[str, Any], ...]:
    """A list of options, or text: what trains, and its options: `head:lr=0.1,epochs=5 layer4+head:lr=0.01 all`."""
    if value in (None, "none"):
        return ()
    phases = [_read_phase(word) for word in value.split()] if isinstance(value, str) else value
    if not isinstance(phases, list | tuple) or not all(isinstance(phase, dict) and phase for phase in phases):
        raise ValueError(
            f"{value!r} are no phases. Write head:lr=0.1,epochs=5 layer4+head:lr=0.01 all, or in YAML a list of "
            "{freeze: all-but-head, lr: 0.1, epochs: 5}."
        )
    return tuple(dict(phase) for phase in phases)


def _read_phase(word: str) -> dict[str, Any]:
    trains, _, options = word.partition(":")
    read: dict[str, Any] = {"freeze": "none" if trains == "all" else "all-but-" + trains.replace("+", ",")}
    for pair in filter(None, options.split(",")):
        name, equals, text = pair.partition("=")
        if not equals:
            raise ValueError(
                f"'{word}' is not readable: '{pair}' has no value. Write for example head:lr=0.1,epochs=5."
            )
        read[name.replace("-", "_")] = _literal(text)
    return read


def _literal(text: str) -> bool | int | float | str:
    """A number or true and false where it reads as one."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


PhasesField = Annotated[tuple[dict[str, Any], ...], BeforeValidator(_read_phases), PlainSerializer(list)]


def _read_sizes(value: Any) -> tuple[int, ...]:
    """Sides in pixels, `128,160` or a list; an empty list, as config.yaml has it, for none."""
    words = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
    sizes = tuple(int(word) for word in words if re.fullmatch(r"\s*\d{1,4}\s*", str(word)) and int(word))
    if len(sizes) < len(words):
        raise ValueError(f"{value!r} are no sizes. Write sides in pixels, from 1 to 9999, such as 128,160,192.")
    return sizes


SizesField = Annotated[tuple[int, ...], BeforeValidator(_read_sizes), PlainSerializer(list)]


def read_names(value: Any, *, known: Sequence[str], what: str, example: str) -> tuple[str, ...]:
    """Names out of `known`, with commas or as a list, each once.

    Raises:
        ValueError: there is another, one twice, or none in a text.
    """
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or names == [""] or len(set(map(str, names))) < len(names):
        raise ValueError(f"{value!r} is not readable. Write {what}s with commas: {example}.")
    names = tuple(str(name).strip() for name in names)
    for name in names:
        if name not in known:
            raise ValueError(f"'{name}' is not a {what}. {suggest(name, known)}")
    return names
