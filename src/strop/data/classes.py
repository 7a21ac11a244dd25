"""Part of a source's classes, as in ImageNet-240: the order stays that of the source."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError, suggest
from .source import Source, Split

if TYPE_CHECKING:
    import numpy as np

_WHERE = "data.classes"
_LIMIT_BYTES = 10_000_000
_SHOWN = 10
log = logging.getLogger("strop")


def read_classes(value: str | Path | Sequence[str]) -> list[str]:
    """Names of classes from a list, or from a text file with one name a line (UTF-8; blank lines do not count).

    Raises:
        UserError: no such file, not text, no names, or a name that is there twice.
    """
    if isinstance(value, str | Path):
        names = _read_file(Path(value).expanduser())
    else:
        names = list(value)
        if not all(isinstance(name, str) for name in names):
            wrong = next(name for name in names if not isinstance(name, str))
            raise UserError(_WHERE, f"{wrong!r} is not text. Put the names of classes in quotes.")
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise UserError(_WHERE, f"{', '.join(map(repr, twice[:_SHOWN]))}: named twice. Keep one.")
    if len(names) < 2:
        raise UserError(_WHERE, f"{len(names)} classes are too few. Telling apart needs at least two.")
    return names


def _read_file(path: Path) -> list[str]:
    try:
        if path.stat().st_size > _LIMIT_BYTES:
            raise UserError(f"{_WHERE} {path}", "is larger than 10 MB. Write one class a line.")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(
            f"{_WHERE} {path}", f"can't be read: {error.strerror or error}. Give a list of names, or a text file."
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{_WHERE} {path}", "is not text in UTF-8. Write one class a line.") from error
    return [line.strip() for line in lines if line.strip()]


def sort_labels(labels: Sequence[str]) -> list[str]:
    """By value where all are whole numbers ("2" before "10"), else by code point."""
    if all(re.fullmatch(r"-?[0-9]{1,18}", label) for label in labels):
        return sorted(labels, key=lambda label: (int(label), label))
    return sorted(labels)


def name_classes(
    known: Mapping[str, set[str]], names: Sequence[str] | None, where: str, list_where: str
) -> dict[str, str]:
    """From what pictures say to the names of their classes, in label order: the classes that train has.

    Args:
        known: the labels of each split's pictures.
        names: where labels are numbers, their names from 0 on; None where labels are names themselves.
        where, list_where: the set, and the list of names, in messages.
    Raises:
        UserError: a label that train does not have or the list does not reach, or a single class.
    """
    labels, say = sort_labels(list(known["train"])), lambda label: label if names is None else names[int(label)]
    every = sort_labels(list(set().union(*known.values())))
    beyond = [label for label in every if names is not None and int(label) >= len(names)]
    if beyond:
        raise UserError(list_where, f"has {len(names)} names, but a picture is of class {beyond[0]}, counted from 0.")
    for split in known:
        for label in sort_labels(list(known[split] - known["train"]))[:1]:
            raise UserError(where, f"the class {say(label)!r} is in {split} but nowhere in train.")
    if len(labels) < 2:
        raise UserError(where, f"there is only one class, {say(labels[0])!r}. Telling apart needs at least two.")
    if names is None:
        return {label: label for label in labels}
    absent = [name for number, name in enumerate(names) if str(number) not in known["train"]]
    if absent:
        shown = ", ".join(absent[:_SHOWN]) + (", ..." if len(absent) > _SHOWN else "")
        log.warning("%s: no training picture of %s; left out", list_where, shown)
    return {label: names[int(label)] for label in labels}


def select_classes(source: Source, names: Sequence[str]) -> Source:
    """The source without pictures of other classes; labels are counted anew, in the source's order.

    Raises:
        UserError: unknown names, all of them with the nearest known one.

    Example:
        >>> from strop.data import open_source
        >>> select_classes(open_source("fashion-mini"), ["bag", "coat"]).classes
        ('coat', 'bag')
    """
    import numpy as np

    known = set(source.classes)
    unknown = [name for name in names if name not in known]
    if unknown:
        problems = [f"'{name}' is no class of '{source.name}'. {suggest(name, known)}" for name in unknown[:_SHOWN]]
        more = [f"... and {len(unknown) - _SHOWN} more"] if len(unknown) > _SHOWN else []
        raise UserError(_WHERE, *problems, *more)
    wanted = set(names)
    chosen = tuple(name for name in source.classes if name in wanted)
    numbers = np.full(len(source.classes), -1, np.int64)
    numbers[[i for i, name in enumerate(source.classes) if name in wanted]] = range(len(chosen))
    splits = {split: _select(pictures, numbers) for split, pictures in source.splits.items()}
    return Source(source.name, source.location, chosen, {split: part for split, part in splits.items() if len(part)})


def _select(pictures: Split, numbers: np.ndarray) -> Split:
    labels = numbers[pictures.labels]
    keep = (labels >= 0).nonzero()[0]
    return pictures.take(keep, labels[keep])
