"""Make the bundled data set out of the four files of Fashion-MNIST.

    python tools/make_fashion_mini.py [FOLDER_WITH_THE_FOUR_FILES]

Per class it takes the 500 training and 100 test pictures whose keyed content hash is lowest. The choice depends on
the pixels only, not on the order of the files. A picture is taken once, and never with two labels; a test picture
whose exact pixels occur anywhere in the full training set is skipped.
"""

from __future__ import annotations

import hashlib
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from strop.data.idx import write_idx
from strop.data.sets.fashion_mini import BUNDLED
from strop.data.sets.fashion_mnist import FILES, find_fashion_mnist, read_fashion
from strop.data.source import ArraySplit, Source

PER_CLASS = {"train": 500, "test": 100}
KEY = b"fashion-mini 1"


def select(full: Source) -> dict[str, np.ndarray]:
    """Positions of the chosen pictures in each split of the full set, in the order of their hashes."""
    hashes = {split: _hash_all(pictures) for split, pictures in full.splits.items()}
    return {
        "train": _lowest(hashes["train"], full.splits["train"].labels, PER_CLASS["train"], banned=set()),
        "test": _lowest(hashes["test"], full.splits["test"].labels, PER_CLASS["test"], banned=set(hashes["train"])),
    }


def _hash_all(pictures: ArraySplit) -> list[bytes]:
    return [hashlib.blake2b(image.tobytes(), digest_size=16, key=KEY).digest() for image in pictures.images]


def _lowest(hashes: list[bytes], labels: np.ndarray, per_class: int, banned: set[bytes]) -> np.ndarray:
    seen = defaultdict(set)
    for content, label in zip(hashes, labels, strict=True):
        seen[content].add(int(label))
    taken, counts, chosen = set(banned), defaultdict(int), []
    for i in sorted(range(len(hashes)), key=lambda i: (hashes[i], i)):
        label = int(labels[i])
        if hashes[i] in taken or len(seen[hashes[i]]) > 1 or counts[label] == per_class:
            continue
        taken.add(hashes[i])
        counts[label] += 1
        chosen.append(i)
    return np.array(chosen)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else find_fashion_mnist()
    if folder is None:
        sys.exit("Fashion-MNIST was not found. Give the folder that holds its four files.")
    full = read_fashion("fashion-mnist", folder)
    BUNDLED.mkdir(parents=True, exist_ok=True)
    for split, chosen in select(full).items():
        images_stem, labels_stem = FILES[split]
        pictures = full.splits[split]
        write_idx(BUNDLED / f"{images_stem}.gz", pictures.images[chosen, :, :, 0])
        write_idx(BUNDLED / f"{labels_stem}.gz", pictures.labels[chosen].astype(np.uint8))
        print(f"{split}: {len(chosen)} pictures")
    print(f"{sum(file.stat().st_size for file in BUNDLED.glob('*.gz')):,} bytes in {BUNDLED.name}")


if __name__ == "__main__":
    main()
