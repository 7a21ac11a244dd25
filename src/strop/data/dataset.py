"""A source divided into train, validation and test, with its fingerprint. No torch."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .source import SPLITS, Source, Split, open_source
from .split import choose_validation

if TYPE_CHECKING:
    import numpy as np

_SAMPLE = 256
_LARGEST_NATURAL = 96


@dataclass(frozen=True)
class Data:
    """What a training sees.

    Attributes:
        source: where the pictures come from.
        splits: "train", "val" and "test", each a list of (split of the source, index in it); empty where there is none.
        hashes: content hash of every picture, by split of the source.
        fingerprint: "blake2b:..." of (split, name, content hash, label) of every picture, and the classes.
        channels: 1 when all training pictures looked at are grey, else 3.
        natural_size: the side in pixels that they all share when they are square and at most 96, else None.
        input_size: what the caller asked for, else natural_size.
        validation: how the validation pictures were chosen, in words.
        choice: the `validation` share and `seed` that give the same split again.
    """

    source: Source
    splits: dict[str, list[tuple[str, int]]]
    hashes: dict[str, list[str]]
    fingerprint: str
    channels: int
    natural_size: int | None
    input_size: int | None
    validation: str
    choice: dict[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        return self.source.classes

    def labels(self, split: str) -> np.ndarray:
        """Labels of a split, (N,) int64."""
        import numpy as np

        return np.array([self.source.splits[part].labels[i] for part, i in self.splits[split]], dtype=np.int64)

    def names(self, split: str) -> list[str]:
        """Names of a split's pictures, in order."""
        return [self.source.splits[part].names[i] for part, i in self.splits[split]]

    def pixels(self, split: str, i: int) -> np.ndarray:
        """Picture i of a split as it is, (H, W, 1 or 3) uint8."""
        part, index = self.splits[split][i]
        return self.source.splits[part].pixels(index)

    def describe(self) -> dict[str, Any]:
        """The content of data.json."""
        counts = {split: self._count(split) for split in self.splits}
        return {
            "source": self.source.name,
            "location": self.source.location,
            "fingerprint": self.fingerprint,
            "classes": list(self.classes),
            "channels": self.channels,
            "natural_size": self.natural_size,
            "counts": counts,
            "validation": {"rule": self.validation, **self.choice, "names": self.names("val")},
        }

    def _count(self, split: str) -> dict[str, int]:
        counts = Counter(self.labels(split).tolist())
        return {name: counts[label] for label, name in enumerate(self.classes)}


def open_data(
    source: str | Source, *, validation: str | float = "5%", input_size: int | None = None, seed: int = 0
) -> Data:
    """Open a source and put the validation pictures aside.

    A source's own val split is taken as it is; otherwise `validation` of train is chosen by content hash.

    Args:
        source: a folder, the name of a data set, or an opened Source.
        validation: share of train, "5%" or 0.05; "0%" for none.
        input_size: side in pixels that the model will get; >= 1.
        seed: of the choice.
    Raises:
        UserError: the source can't be opened, or an argument is wrong.

    Example:
        >>> data = open_data("fashion-mini", validation="5%")
        >>> len(data.splits["train"]), len(data.splits["val"]), len(data.splits["test"])
        (4750, 250, 1000)
    """
    fraction = parse_fraction(validation)
    if input_size is not None and (not isinstance(input_size, int) or input_size < 1):
        raise UserError("data.input_size", f"'{input_size}' is no side in pixels. Write a whole number such as 224.")
    opened = open_source(source) if isinstance(source, str) else source
    hashes = {name: _hash_all(split) for name, split in opened.splits.items()}
    channels, natural_size = _look_at(opened.splits["train"])
    splits, rule = _divide(opened, hashes["train"], fraction, seed)
    fingerprint = _fingerprint(opened, hashes)
    return Data(
        opened,
        splits,
        hashes,
        fingerprint,
        channels,
        natural_size,
        input_size or natural_size,
        rule,
        {"share": fraction, "seed": seed},
    )


def parse_fraction(value: str | float) -> float:
    """A share such as "5%", "0.05" or 0.05 as a number in [0, 1). Raises UserError for anything else."""
    text = str(value).strip()
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(e-?\d+)?\s*(%?)", text)
    if match and not isinstance(value, bool):
        number = float(match[1] + (match[2] or "")) / (100 if match[3] else 1)
        if 0 <= number < 1:
            return number
    hint = f"Write {text}% or a fraction such as 0.05." if re.fullmatch(r"\d\d?", text) else "Write 5% or 0.05."
    raise UserError("data.validation", f"'{text}' is no share of the training pictures, 0% to below 100%. {hint}")


def _divide(source: Source, hashes: list[str], fraction: float, seed: int) -> tuple[dict, str]:
    own = {name: [(name, i) for i in range(len(split))] for name, split in source.splits.items()}
    splits = {name: own.get(name, []) for name in SPLITS}
    if "val" in own:
        return splits, "the source's own val split"
    if fraction == 0:
        return splits, "none"
    held_out = choose_validation(hashes, source.splits["train"].labels, fraction, seed)
    splits["val"] = [place for place, out in zip(own["train"], held_out, strict=True) if out]
    splits["train"] = [place for place, out in zip(own["train"], held_out, strict=True) if not out]
    return splits, f"{fraction * 100:g}% of train a class, by content hash, seed {seed}"


def _hash_all(split: Split) -> list[str]:
    """Reading waits for the disk and hashing lets other threads run, so a few of them share the work."""
    with ThreadPoolExecutor(4) as pool:
        starts = range(0, len(split), 64)
        chunks = pool.map(lambda start: [split.content_hash(i) for i in _chunk(split, start)], starts)
        return [content for chunk in chunks for content in chunk]


def _chunk(split: Split, start: int) -> range:
    return range(start, min(start + 64, len(split)))


def _look_at(split: Split) -> tuple[int, int | None]:
    """Channels and natural size from the headers of up to 256 pictures, spread evenly."""
    n = min(len(split), _SAMPLE)
    shapes = {tuple(split.shape(i * len(split) // n)) for i in range(n)}
    channels = 1 if all(shape[2] == 1 for shape in shapes) else 3
    sizes = {shape[:2] for shape in shapes}
    height, width = next(iter(sizes))
    natural = len(sizes) == 1 and height == width and height <= _LARGEST_NATURAL
    return channels, height if natural else None


def _fingerprint(source: Source, hashes: dict[str, list[str]]) -> str:
    rows = sorted(
        (name, split.names[i], hashes[name][i], int(split.labels[i]))
        for name, split in source.splits.items()
        for i in range(len(split))
    )
    digest = hashlib.blake2b(json.dumps(list(source.classes)).encode(), digest_size=16)
    for row in rows:
        digest.update(json.dumps(row).encode() + b"\n")
    return f"blake2b:{digest.hexdigest()}"
