"""The quick audit of a set that was just opened for a training: from hashes and headers that are known already."""

from __future__ import annotations

import time

import numpy as np

from ..data.dataset import Data
from ..data.hashes import HASH_BYTES
from ..data.look import Looks
from .auditing import conclude
from .collection import SourceCollection
from .copies import find_exact, group_equal
from .findings import Findings


def audit_opened(data: Data) -> Findings:
    """Leaks, double labels, duplicates, classes, sizes and colours of an opened set. No file is read.

    Of a test split of its own only the hashes are looked at: its pictures are for `evaluate`. Near copies and cut-short
    files in it are for `strop audit`.

    Args:
        data: from `open_data`, with `shapes`.
    """
    start = time.perf_counter()
    collection = SourceCollection(data.source)
    looks = Looks(len(collection), quick=True)
    for number, (name, at) in enumerate(zip(collection.splits, collection.start[:-1].tolist(), strict=True)):
        part = slice(at, int(collection.start[number + 1]))
        looks.content[part] = np.ascontiguousarray(data.hashes[name]).view(f"V{HASH_BYTES}")[:, 0]
        if name in data.shapes:
            looks.size[part] = data.shapes[name][:, :2]
            looks.grey[part] = data.shapes[name][:, 2] == 1
    found = find_exact(collection, looks, group_equal(looks))
    return conclude(collection, looks, found, name=data.source.name, location=data.source.location, start=start)
