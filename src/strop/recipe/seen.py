"""How many pictures of how many classes a step will see, without downloading or decoding any."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    from ..runs import Run
    from ..steps.options import DataConfig


@dataclass(frozen=True)
class Seen:
    """What is known of the pictures before they are opened.

    Attributes:
        classes, channels: K, and 1 or 3.
        side: pixels a side that the data ask for; None: what the network is meant for.
        train, val, test: pictures in each split, after dividing.
        published: counts are those of the set's publishers, because it was not opened.
    """

    classes: int
    channels: int
    side: int | None
    train: int
    val: int
    test: int
    published: bool = False

    def count(self, split: str) -> int:
        return getattr(self, split)


def look_ahead(config: DataConfig) -> Seen:
    """What a data block will give: a named set by what its publishers say, all else by opening it.

    Raises:
        UserError: it can't be opened, or would have to be downloaded first.
    """
    from ..data.dataset import parse_fold, parse_fraction
    from ..data.facts import known_facts

    facts = known_facts(config.source)
    if facts is None:
        return _open(config)
    classes, kept = facts.classes, 1.0
    if config.classes is not None:
        from ..data.classes import read_classes

        classes = len(read_classes(config.classes))
        kept = classes / facts.classes
    train, val, test = (round(count * kept) for count in (facts.train, facts.val, facts.test))
    if not facts.test:
        test = round(train * parse_fraction(config.test))
        train -= test
    if config.fold or not facts.val:
        val = train // parse_fold(config.fold)[1] if config.fold else round(train * parse_fraction(config.validation))
        train -= val
    side = config.input_size or facts.side
    return Seen(classes, facts.channels, side, train, val, test, published=True)


def _open(config: DataConfig) -> Seen:
    from ..data.dataset import open_data

    if config.source.startswith("hf:"):
        raise UserError(config.source, "is not opened for a plan, because that may download it.")
    options = config.model_dump(exclude={"source", "max_unreadable", "near_copies"}) | {"near_copies": False}
    try:
        data = open_data(config.source, max_unreadable=None, **options)
    except UserError:  # the run will look at every picture, and may leave this one out
        data = open_data(config.source, max_unreadable=config.max_unreadable, **options)
    counts = {split: len(items) for split, items in data.splits.items()}
    return Seen(len(data.classes), data.channels, data.input_size, **counts)


def seen_by(run: Run) -> Seen:
    """What a finished run saw."""
    about = run.data
    counts = {split: sum(about["counts"].get(split, {}).values()) for split in ("train", "val", "test")}
    return Seen(len(about["classes"]), about["channels"], about["natural_size"], **counts)


def share_out(seen: Seen, parts: int) -> Seen:
    """The training and validation pictures when one of `parts` folds of them is held out."""
    both = seen.train + seen.val
    return dataclasses.replace(seen, train=both - both // parts, val=both // parts)
