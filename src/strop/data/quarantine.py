"""Training pictures that can't be read: found before anything is trained, left out by name, never replaced. No torch.

Which they are is decided once, when the data set is opened, and written to data.json. So the order of an epoch is a
function of the pictures that are left, wherever these are loaded from, and every later step sees the same ones.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import UserError
from .examine import look_at_split, measure_shapes
from .exclusions import show_name
from .source import ArraySplit, Source, Split

if TYPE_CHECKING:
    import numpy as np

    from .look import Looks

_SHOWN = 5
log = logging.getLogger("strop")


@dataclass(frozen=True)
class Readable:
    """A source without the training pictures that can't be read.

    Attributes:
        source: what is left.
        hashes: content hash of every picture, by split.
        shapes: height, width and channels of the pictures of train and of the source's own val, (N, 3) int32.
        unreadable: the names of the others, with the reason.
        near: (N,) family of near copies of each training picture, -1 for none; None where they were not looked for.
    """

    source: Source
    hashes: dict[str, np.ndarray]
    shapes: dict[str, np.ndarray] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    near: np.ndarray | None = None


def set_apart(source: Source, hashes: dict[str, np.ndarray], limit: float, *, near: bool = False) -> Readable:
    """Leave out the training pictures that can't be read.

    Args:
        source: as it was opened.
        hashes: content hash of every picture, by split.
        limit: share of the training pictures that may be left out; 0 <= limit < 1.
        near: look for near copies in train too.
    Raises:
        UserError: more than `limit` can't be read, or none of a class can; or one of the source's own val.
    """
    import numpy as np

    shapes, looks, train = {}, None, source.splits["train"]
    if "val" in source.splits:
        shapes["val"], found = measure_shapes(source.splits["val"], hashes["val"])
        refuse_unreadable(source, "val", found)
    if near and not isinstance(train, ArraySplit):
        looks, found = look_at_split(train, hashes["train"])
        shapes["train"] = np.column_stack([looks.size, np.where(looks.grey, 1, 3)])
    else:
        shapes["train"], found = measure_shapes(train, hashes["train"])
    if not found:
        return Readable(source, hashes, shapes, near=_group_near(source, hashes, looks) if near else None)
    named = {train.names[i]: found[i] for i in sorted(found)}
    if len(found) > limit * len(train):
        _refuse_many(source, named, limit)
    kept = np.setdiff1d(np.arange(len(train)), list(found))
    rest = train.take(kept, train.labels[kept])
    _refuse_empty_class(source, rest, named)
    log.warning(
        "%s: %d of %s training pictures can't be read and are left out:", source.name, len(found), f"{len(train):,}"
    )
    for line in _list(named):
        log.warning("  %s", line)
    without = Source(source.name, source.location, source.classes, source.splits | {"train": rest})
    hashes, shapes = ({**known, "train": known["train"][kept]} for known in (hashes, shapes))
    families = _group_near(without, hashes, looks.take(kept)) if near else None
    return Readable(without, hashes, shapes, named, families)


def _group_near(source: Source, hashes: dict[str, np.ndarray], looks: Looks | None) -> np.ndarray:
    from .near import group_near

    train, contents = source.splits["train"], hashes["train"]
    look = (lambda: look_at_split(train, contents)[0]) if looks is None else (lambda: looks)
    return group_near(train, contents, look, source.name)


def _refuse_empty_class(source: Source, rest: Split, named: Mapping[str, str]) -> None:
    counts = Counter(rest.labels.tolist())
    empty = [name for label, name in enumerate(source.classes) if not counts[label]]
    if empty:
        shown = ", ".join(map(repr, empty[:_SHOWN])) + (", ..." if len(empty) > _SHOWN else "")
        lines = [f"no picture of {shown} can be read:", *_list(named), "Replace them, or leave the class out."]
        raise UserError(_where(source), "\n  ".join(lines))


def refuse_unreadable(source: Source, name: str, found: Mapping[int, str]) -> None:
    """Stop at the first sight of an unreadable picture in a split that is measured on. Raises UserError."""
    if found:
        names = source.splits[name].names
        named = {names[i]: found[i] for i in sorted(found)}
        what = f"{len(found)} {name} picture{'s' * (len(found) > 1)} can't be read; what is measured must be whole:"
        raise UserError(_where(source), "\n  ".join([what, *_list(named), "Replace or remove them."]))


def refuse_no_pictures(source: Source, *names: str) -> None:
    """The same for files that are no pictures by their first bytes."""
    for name in names:
        found = getattr(source.splits.get(name), "no_pictures", {})
        refuse_unreadable(source, name, {i: f"is no picture: {reason}" for i, reason in found.items()})


def _refuse_many(source: Source, named: Mapping[str, str], limit: float) -> None:
    n, total = len(named), len(source.splits["train"])
    lines = [
        f"{n} of {total:,} training pictures can't be read ({100 * n / total:.2g} %); "
        f"at most {100 * limit:.3g} % may be left out:",
        *_list(named),
        f"Replace or remove them; strop audit {source.location or source.name} lists all.",
        f"To train without them, allow more: --max-unreadable {_round_up(n / total)}%.",
    ]
    raise UserError(_where(source), "\n  ".join(lines))


def _round_up(share: float) -> int:
    """The next whole percent that allows this share."""
    return min(int(100 * share) + 1, 99)


def _list(named: Mapping[str, str]) -> list[str]:
    """The first few, and how many more there are."""
    lines = [show(name, reason) for name, reason in list(named.items())[:_SHOWN]]
    return lines + ([f"... and {len(named) - _SHOWN} more"] if len(named) > _SHOWN else [])


def show(name: str, reason: str) -> str:
    """A name and what is wrong with it, as a sentence."""
    return f"'{show_name(name)}'{'' if reason.startswith(('is ', 'can')) else ':'} {reason}"


def _where(source: Source) -> str:
    return source.location or f"data '{source.name}'"
