"""A source divided into train, validation and test, with its fingerprint. No torch."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from json.encoder import encode_basestring_ascii as quote
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import UserError
from .classes import read_classes, select_classes
from .divide import divide
from .exclusions import exclude as exclude_listed
from .exclusions import leave_out
from .files import hash_all
from .hashes import HASH_BYTES
from .packed import Members, PackedNames
from .picture import WHITE, parse_colour
from .quarantine import Readable, refuse_no_pictures, set_apart
from .source import SPLITS, Source, Split, open_source

if TYPE_CHECKING:
    import numpy as np

_SAMPLE = 256
_LARGEST_NATURAL = 96
_BLOCK = 65536
_MOST_NEAR = 100_000  # 60,000 pictures of Fashion-MNIST, the hardest seen, take 16 s of CPU, once


@dataclass(frozen=True)
class Data:
    """What a training sees.

    Attributes:
        source: where the pictures come from.
        splits: "train", "val" and "test", each a sequence of (split of the source, index in it) kept as an array;
            empty where there is none.
        hashes: content hash of every picture, by split of the source, (N, 16) uint8.
        fingerprint: "blake2b:..." of (split, name, content hash, label) of every picture, and the classes.
        channels: 1 when all training pictures looked at are grey, else 3.
        natural_size: the side in pixels that they all share when they are square and at most 96, else None.
        input_size: what the caller asked for, else natural_size.
        validation: how the validation pictures were chosen, in words.
        test: how the test pictures were chosen, in words.
        choice: `share`, `seed`, `test`, `fold`, `near_copies` and `classes` that give the same split again.
        alpha: the colour below transparent parts.
        unreadable: training pictures that are left out because they can't be read, and why.
        excluded: pictures of any split that are left out because a list says so, and why.
        shapes: height, width and channels of the pictures of train and of the source's own val, (N, 3) int32; empty
            where nothing was checked.
        audit: what the quick audit found, where there was one.
    """

    source: Source
    splits: dict[str, Members]
    hashes: dict[str, np.ndarray]
    fingerprint: str
    channels: int
    natural_size: int | None
    input_size: int | None
    validation: str
    test: str
    choice: dict[str, Any]
    alpha: str = WHITE
    unreadable: dict[str, str] = field(default_factory=dict)
    excluded: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, np.ndarray] = field(default_factory=dict)
    audit: dict[str, Any] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        return self.source.classes

    def labels(self, split: str) -> np.ndarray:
        """Labels of a split, (N,) int64."""
        chosen = self.splits[split]
        return self._part(chosen).labels[chosen.indices] if len(chosen) else chosen.indices.copy()

    def names(self, split: str) -> PackedNames:
        """Names of a split's pictures, in order."""
        chosen = self.splits[split]
        return self._part(chosen).names.take(chosen.indices) if len(chosen) else PackedNames()

    def some(self, split: str, n: int, seed: int = 0) -> Data:
        """The same with only n pictures in a split, chosen by chance; unchanged where it has no more."""
        from .chance import key, permutation

        chosen = self.splits[split]
        if len(chosen) <= n:
            return self
        indices = chosen.indices[sorted(permutation(len(chosen), key(seed, "some", split))[:n].tolist())]
        return replace(self, splits=self.splits | {split: Members(chosen.part, indices)})

    def pixels(self, split: str, i: int) -> np.ndarray:
        """Picture i of a split as it is, (H, W, 1 or 3) uint8."""
        part, index = self.splits[split][i]
        return self.source.splits[part].pixels(index, self.alpha)

    def open(self, split: str, i: int) -> BinaryIO | None:
        """The encoded bytes of picture i of a split; None where only pixels are stored. Raises OSError."""
        part, index = self.splits[split][i]
        return self.source.splits[part].open(index)

    def _part(self, chosen: Members) -> Split:
        return self.source.splits[chosen.part]

    def describe(self) -> dict[str, Any]:
        """The content of data.json."""
        counts = {split: self._count(split) for split in self.splits}
        chosen = self.splits["test"].part == "train"
        return {
            "source": self.source.name,
            "location": self.source.location,
            "fingerprint": self.fingerprint,
            "classes": list(self.classes),
            "channels": self.channels,
            "natural_size": self.natural_size,
            "alpha": self.alpha,
            "counts": counts,
            "validation": {"rule": self.validation, **self.choice, "names": list(self.names("val"))},
            "test": {"rule": self.test} | ({"names": list(self.names("test"))} if chosen else {}),
            "unreadable": self.unreadable,
            "excluded": self.excluded,
        } | ({} if self.audit is None else {"audit": self.audit})

    def _count(self, split: str) -> dict[str, int]:
        counts = Counter(self.labels(split).tolist())
        return {name: counts[label] for label, name in enumerate(self.classes)}


def open_data(
    source: str | Source,
    *,
    validation: str | float = "5%",
    test: str | float = "0%",
    fold: str | None = None,
    classes: str | Path | Sequence[str] | None = None,
    kept: Mapping[str, Sequence[str]] | None = None,
    exclude: str | Path | None = None,
    left_out: Mapping[str, Mapping[str, str]] | None = None,
    max_unreadable: str | float | None = "1%",
    near_copies: bool | str = "auto",
    input_size: int | None = None,
    alpha: str = WHITE,
    seed: int = 0,
) -> Data:
    """Open a source and put the test and validation pictures aside.

    A source's own val and test splits are taken as they are. Otherwise `test` of train is chosen first, then
    `validation` of what is left, or one fold of it; by content hash, and by group where the source names groups.

    Args:
        source: a folder, a table, the name of a data set, or an opened Source.
        validation: share of train, "5%" or 0.05; "0%" for none.
        test: share of train, where the source has no test split.
        fold: "2/5" makes the second of five folds the validation pictures; goes before `validation`.
        classes: use these only: a list, or a text file with one name a line.
        kept: names of the pictures in "val" and "test" when the set was divided before. They and their copies stay
            there, all others are in train.
        exclude: an exclusion list, as `strop audit --fix` writes it; its pictures are in no split.
        left_out: what was "unreadable" and "excluded" before, with reasons; then nothing is checked.
        max_unreadable: share of the training pictures that may turn out unreadable; these are left out, named in the
            log and kept in `Data.unreadable`. One in the source's own val is an error. None: nothing is checked, and
            a broken picture is an error when it is due.
        near_copies: whether re-encoded, resized and mirrored copies stay together too: true, false, or "auto", on up
            to 100,000 training pictures. Not looked for where nothing is checked, or nothing is to be divided.
        input_size: side in pixels that the model will get; >= 1.
        alpha: what transparent parts are laid on: "white", "black" or "#rrggbb".
        seed: of the choice.
    Raises:
        UserError: the source can't be opened, too much of it can't be read, or an argument is wrong.

    Example:
        >>> data = open_data("fashion-mini", validation="5%")
        >>> len(data.splits["train"]), len(data.splits["val"]), len(data.splits["test"])
        (4750, 250, 1000)
    """
    shares = {"val": parse_fraction(validation), "test": parse_fraction(test, "data.test")}
    number = None if fold is None else parse_fold(fold)
    if input_size is not None and (not isinstance(input_size, int) or input_size < 1):
        raise UserError("data.input_size", f"'{input_size}' is no side in pixels. Write a whole number such as 224.")
    parse_colour(alpha)
    chosen = None if classes is None else read_classes(classes)
    check = left_out is None and max_unreadable is not None
    limit = parse_fraction(max_unreadable, "data.max_unreadable") if check else None
    out = {"unreadable": {}, "excluded": {}} | dict(left_out or {})
    opened = open_source(source) if isinstance(source, str) else source
    if left_out:
        opened = leave_out(opened, {**out["unreadable"], **out["excluded"]})[0]
    if exclude is not None:
        opened, out["excluded"] = exclude_listed(opened, Path(exclude).expanduser())
    opened = opened if chosen is None else select_classes(opened, chosen)
    refuse_no_pictures(opened, *(SPLITS if limit is None else ("val", "test")))
    hashes = hash_all(opened.splits)
    found, near = Readable(opened, hashes, unreadable=out["unreadable"]), near_copies is True
    if limit is not None:
        near = _is_divided(opened, shares, number) and wants_near(near_copies, len(opened.splits["train"]))
        found = set_apart(opened, hashes, limit, near=near)
        opened, hashes = found.source, found.hashes
    channels, natural_size = _look_at(opened.splits["train"])
    together = {"near": found.near, "near_together": near}
    splits, rules = divide(opened, hashes["train"], shares, number, kept or {}, seed, **together)
    choice = {"share": shares["val"], "seed": seed, "test": shares["test"], "fold": fold, "near_copies": near}
    return Data(
        opened,
        splits,
        hashes,
        _fingerprint(opened, hashes),
        channels,
        natural_size,
        input_size or natural_size,
        rules["val"],
        rules["test"],
        {**choice, "classes": None if chosen is None else list(opened.classes)},
        alpha,
        dict(found.unreadable),
        dict(out["excluded"]),
        found.shapes,
    )


def open_again(about: Mapping[str, Any], *, input_size: int | None = None) -> Data:
    """The data that a data.json describes, divided as is written there. Its fingerprint is the caller's to compare.

    Raises:
        UserError: the source can't be opened any more.
    """
    choice = about["validation"]
    kept = {"val": choice["names"], "test": about.get("test", {}).get("names", [])}
    return open_data(
        about["location"] or about["source"],
        validation=choice["share"],
        test=choice.get("test", 0),
        fold=choice.get("fold"),
        classes=choice.get("classes"),
        kept=kept,
        near_copies=choice.get("near_copies", False),
        left_out={reason: about.get(reason, {}) for reason in ("unreadable", "excluded")},
        input_size=input_size,
        alpha=about.get("alpha", WHITE),
        seed=choice["seed"],
    )


def parse_fraction(value: str | float, where: str = "data.validation") -> float:
    """A share such as "5%", "0.05" or 0.05 as a number in [0, 1). Raises UserError for anything else."""
    text = str(value).strip()
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(e-?\d+)?\s*(%?)", text)
    if match and not isinstance(value, bool):
        number = float(match[1] + (match[2] or "")) / (100 if match[3] else 1)
        if 0 <= number < 1:
            return number
    hint = f"Write {text}% or a fraction such as 0.05." if re.fullmatch(r"\d\d?", text) else "Write 5% or 0.05."
    raise UserError(where, f"'{text}' is no share of the training pictures, 0% to below 100%. {hint}")


def wants_near(value: bool | str, n: int) -> bool:
    """Whether near copies are looked for among n training pictures. Raises UserError for no true, false or auto."""
    text = str(value).lower()
    if text not in ("true", "false", "auto"):
        raise UserError("data.near_copies", f"'{value}' is not an option. Write true, false or auto.")
    return text == "true" or (text == "auto" and n <= _MOST_NEAR)


def _is_divided(source: Source, shares: Mapping[str, float], fold: tuple[int, int] | None) -> bool:
    return any(share and name not in source.splits for name, share in shares.items()) or fold is not None


def parse_fold(value: str) -> tuple[int, int]:
    """A fold such as "2/5" as (2, 5): the second of five. Raises UserError for anything else."""
    match = re.fullmatch(r"\s*(\d{1,4})\s*/\s*(\d{1,4})\s*", str(value))
    k, n = map(int, match.groups()) if match else (0, 0)
    if n >= 2 and 1 <= k <= n:
        return k, n
    raise UserError("data.fold", f"'{value}' is no fold. Write 2/5 for the second of five; from 1/5 to 5/5.")


def _look_at(split: Split) -> tuple[int, int | None]:
    """Channels and natural size from the headers of up to 256 pictures, spread evenly."""
    n = min(len(split), _SAMPLE)
    shapes = {tuple(split.shape(i * len(split) // n)) for i in range(n)}
    channels = 1 if all(shape[2] == 1 for shape in shapes) else 3
    sizes = {shape[:2] for shape in shapes}
    height, width = next(iter(sizes))
    natural = len(sizes) == 1 and height == width and height <= _LARGEST_NATURAL
    return channels, height if natural else None


def _fingerprint(source: Source, hashes: Mapping[str, np.ndarray]) -> str:
    """blake2b of the classes and, sorted, of a JSON line for each picture; a line at a time, since there are millions.

    Groups are a part of it where there are any: they decide the splits.
    """
    digest = hashlib.blake2b(json.dumps(list(source.classes)).encode(), digest_size=16)
    for name in sorted(source.splits):
        split = source.splits[name]
        order = split.names.order()
        places = range(len(split)) if order is None else order.tolist()
        for block in (places[at : at + _BLOCK] for at in range(0, len(places), _BLOCK)):
            digest.update("".join(_describe(name, split, hashes[name], block)).encode())
    return f"blake2b:{digest.hexdigest()}"


def _describe(name: str, split: Split, hashes: np.ndarray, block: Sequence[int]) -> Iterator[str]:
    """JSON lists, as `json.dumps` writes them but three times as fast."""
    contents = hashes[block].tobytes().hex()
    names, labels = split.names.take(block), split.labels[block].tolist()
    groups = ("" for _ in block) if split.groups is None else split.groups.take(block)
    width = 2 * HASH_BYTES
    for i, (picture, label, group) in enumerate(zip(names, labels, groups, strict=True)):
        extra = f", {quote(group)}" if group else ""
        yield f'["{name}", {quote(picture)}, "{contents[i * width : (i + 1) * width]}", {label}{extra}]\n'
