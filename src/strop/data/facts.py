"""What is known of a named set without having it: a plan needs its classes and counts, and not its pictures."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """What the publishers of a set say about it.

    Attributes:
        classes: how many there are, K.
        channels: 1 for grey, 3 for colour.
        side: of every picture in pixels, where all are squares of one size; else None.
        train, val, test: pictures in each split of its own.
    """

    classes: int
    channels: int
    side: int | None
    train: int
    val: int = 0
    test: int = 0


def known_facts(name: str) -> Facts | None:
    """The `FACTS` that stand in the file of a named set; None where there is no such set, or its file says none.

    Example:
        >>> known_facts("cifar100").classes
        100
    """
    from .sets import sets

    if name not in sets.names():
        return None
    return getattr(sys.modules[sets.get(name).__module__], "FACTS", None)
