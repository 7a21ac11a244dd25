"""Choose the validation pictures by what they show, so that neither order nor names matter."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    import numpy as np


def choose_validation(hashes: Sequence[str], labels: Sequence[int], fraction: float, seed: int = 0) -> np.ndarray:
    """Choose round(fraction * n) of each class's n pictures, those whose keyed content hash ranks lowest.

    Pictures of equal content stay together, also across classes: a group that would lead beyond a class's share
    is passed over. Each class gives at least one picture and never all of them; a class that can't do both
    (one picture, or all of equal content) gives none.

    Args:
        hashes: content hash of each picture.
        labels: class of each picture.
        fraction: share that becomes validation; 0 <= fraction < 1.
        seed: another seed ranks differently.
    Shape:
        Returns: (n,) bool, True for validation.
    Raises:
        UserError: fraction is out of range.
    """
    import numpy as np

    if not 0 <= fraction < 1:
        raise UserError("data.validation", f"{fraction:g} is no share of the training pictures. Write 0% to 99%.")
    groups: dict[str, Counter] = defaultdict(Counter)
    for content, label in zip(hashes, labels, strict=True):
        groups[content][int(label)] += 1
    chosen = _choose_groups(_rank(groups, seed), groups, fraction) if fraction > 0 else set()
    return np.fromiter((content in chosen for content in hashes), dtype=bool, count=len(hashes))


def _choose_groups(ranked: list[str], groups: dict[str, Counter], fraction: float) -> set[str]:
    total = _add_up(groups)
    want = {label: min(max(round(fraction * n), 1), n - 1) for label, n in total.items()}
    chosen, taken = set(), Counter()
    for content in ranked:
        group = groups[content]
        if all(taken[label] + count <= want[label] for label, count in group.items()):
            chosen.add(content)
            taken.update(group)
    for label in sorted(label for label in total if not taken[label]):
        # Only groups of copies are left for this class: the smallest that leaves every class a picture to learn from.
        for content in sorted((c for c in ranked if groups[c][label]), key=lambda c: groups[c][label]):
            if all(taken[other] + count < total[other] for other, count in groups[content].items()):
                chosen.add(content)
                taken.update(groups[content])
                break
    return chosen


def _add_up(groups: dict[str, Counter]) -> Counter:
    total: Counter = Counter()
    for group in groups.values():
        total.update(group)
    return total


def _rank(groups: dict[str, Counter], seed: int) -> list[str]:
    secret = f"validation {seed}".encode()
    return sorted(groups, key=lambda content: hashlib.blake2b(content.encode(), digest_size=16, key=secret).digest())
