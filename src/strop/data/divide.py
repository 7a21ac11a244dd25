"""A source's train divided into train, validation and test: what goes where, and the words for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .packed import Members
from .source import SPLIT_NAMES, SPLITS, Source, Split
from .split import choose_folds, choose_validation, spread

if TYPE_CHECKING:
    import numpy as np


def divide(
    source: Source,
    hashes: np.ndarray,
    shares: Mapping[str, float],
    fold: tuple[int, int] | None,
    kept: Mapping[str, Sequence[str]],
    seed: int,
    *,
    near: np.ndarray | None = None,
    near_together: bool = False,
) -> tuple[dict[str, Members], dict[str, str]]:
    """The splits, and how each was made. Test goes first, so that it does not depend on the choice of validation.

    Args:
        hashes: content hashes of the source's train, (N, 16) uint8.
        shares: of "test" and "val"; without effect where the source has that split.
        fold: (k, n), goes before the share of "val".
        kept: names in "val" and "test" of before; they and their copies are taken instead of choosing.
        seed: of the choice.
        near: (N,) family of near copies of each picture of the source's train, -1 for none; None if not looked for.
        near_together: what the rule says of near copies.
    Raises:
        UserError: a fold where the source has its own val split, or one that holds a whole class.
    """
    import numpy as np

    sizes = {name: len(source.splits[name]) if name in source.splits else 0 for name in SPLITS}
    splits = {name: Members(name, np.arange(size)) for name, size in sizes.items()}
    rules = {name: f"the source's own {name} split" if name in source.splits else "none" for name in ("test", "val")}
    pool = _Pool(source.splits["train"], hashes, splits["train"].indices, near)
    together = ", near copies together" if near_together else ""
    by = f"by {'group and ' if pool.split.groups is not None else ''}content hash{together}, seed {seed}"
    for name, purpose in (("test", "test"), ("val", "validation")):
        if name == "val" and fold is not None:
            _refuse_own_val(source)
            splits[name] = pool.give(pool.keep(kept[name]) if name in kept else pool.fold(*fold, seed))
            rules[name] = f"fold {fold[0]} of {fold[1]} of train a class, {by}"
            _refuse_empty_class(source, pool, splits[name], fold)
        elif name not in source.splits and shares[name]:
            splits[name] = pool.give(
                pool.keep(kept[name]) if name in kept else pool.choose(shares[name], seed, purpose)
            )
            rules[name] = f"{shares[name] * 100:g}% of train a class, {by}"
    splits["train"] = Members("train", pool.indices)
    return splits, rules


@dataclass
class _Pool:
    """The pictures of the source's train that are not given away yet."""

    split: Split
    hashes: np.ndarray
    indices: np.ndarray
    near: np.ndarray | None

    def _together(self) -> dict[str, Any]:
        """What must not be torn apart, beside equal pictures."""
        groups = None if self.split.groups is None else self.split.groups.take(self.indices)
        return {"groups": groups, "near": None if self.near is None else self.near[self.indices]}

    def _left(self) -> tuple[np.ndarray, np.ndarray]:
        """Hashes and labels of the pictures that are left; copies (30 MB a million) only where some are not."""
        if len(self.indices) == len(self.hashes):
            return self.hashes, self.split.labels
        return self.hashes[self.indices], self.split.labels[self.indices]

    def choose(self, fraction: float, seed: int, purpose: str) -> np.ndarray:
        hashes, labels = self._left()
        return choose_validation(hashes, labels, fraction, seed, purpose=purpose, **self._together())

    def fold(self, k: int, n: int, seed: int) -> np.ndarray:
        hashes, labels = self._left()
        return choose_folds(hashes, labels, n, seed, **self._together()) == k - 1

    def keep(self, names: Sequence[str]) -> np.ndarray:
        """Those of these names, and what must be where they are."""
        import numpy as np

        wanted = set(names)
        listed = np.fromiter((name in wanted for name in self.split.names), bool, len(self.split))[self.indices]
        return spread(listed, self.hashes[self.indices], **self._together())

    def give(self, mask: np.ndarray) -> Members:
        given = Members("train", self.indices[mask])
        self.indices = self.indices[~mask]
        return given


def _refuse_own_val(source: Source) -> None:
    """What was put aside as val would be in no fold, and so in no figure."""
    if "val" not in source.splits:
        return
    where = source.location or f"data '{source.name}'"
    here = Path(source.location or "")
    train = next((path for path in sorted(here.glob("*/")) if SPLIT_NAMES.get(path.name.lower()) == "train"), None)
    alone = f"Write {train} for those alone, or put" if source.location and train else "Put"
    raise UserError(
        where, f"has a val split of its own, and folds are made of the training pictures. {alone} val's into train."
    )


def _refuse_empty_class(source: Source, pool: _Pool, val: Members, fold: tuple[int, int]) -> None:
    """Folds divide train exactly, so a class of one picture, or of copies, is lost where it is validation."""
    import numpy as np

    left, out = (np.unique(pool.split.labels[indices]) for indices in (pool.indices, val.indices))
    lost = [source.classes[label] for label in np.setdiff1d(out, left)]
    if lost:
        where = f"data.fold {fold[0]}/{fold[1]}"
        names = ", ".join(map(repr, lost[:10])) + (", ..." if len(lost) > 10 else "")
        raise UserError(where, f"no picture of {names} is left to learn from. Add pictures, or leave the class out.")
