"""Near copies among pictures: re-encoded, resized or mirrored ones. Hashes propose, thumbnails confirm. No torch."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable

import numpy as np

from .alike import Judge
from .hashes import HASH_BYTES, HashStore
from .look import VERSION, Looks
from .phash import NearSearch
from .source import Split
from .split import join

MOST_PAIRS = 1_000_000
LEAST_SIDE = 8
_SEARCH_FIVE_BANDS = 100_000
log = logging.getLogger("strop")


def find_pairs(
    looks: Looks, places: np.ndarray, read: Callable[[int], np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Pairs of pictures that show the same, and what was not searched, in words.

    Flat pictures, and those with a side below 8 pixels, are alike by nature and left out.

    Args:
        looks: of all pictures.
        places: the pictures to compare, one of each group of equal ones.
        read: gives the pixels of a picture again.
    Shape:
        Returns: i and j (P,) int64 with i < j; mirrored (P,) bool, whether j is a mirror image.
    """
    places = places[~looks.blank[places] & (looks.size[places].min(1) >= LEAST_SIDE)]
    bands = 5 if len(places) <= _SEARCH_FIVE_BANDS else 4
    search, judge = NearSearch(looks.hash[places], bands=bands), Judge(looks, read)
    rows, count, limits = [], 0, []
    for i, j, mirrored in search.pairs():
        i, j = places[i], places[j]
        kept = judge.confirm(i, j, mirrored)
        rows.append((i[kept], j[kept], np.full(int(kept.sum()), mirrored)))
        count += len(rows[-1][0])
        if count > MOST_PAIRS:
            limits.append(f"near copies: more than {MOST_PAIRS:,} pairs; the rest was not searched")
            break
    if search.stopped:
        limits.append("near copies: most pictures look alike; only the likeliest pairs were compared")
    if judge.stopped:
        limits.append("near copies of another size: too many candidates; the likeliest were compared")
    if not rows:
        none = np.empty(0, dtype=np.int64)
        return none, none, np.empty(0, dtype=bool), limits
    i, j, mirrored = (np.concatenate(column) for column in zip(*rows, strict=True))
    # A symmetric picture is near as it is and mirrored; one of the two is told.
    _, once = np.unique(i * np.int64(looks.n) + j, return_index=True)
    return i[once], j[once], mirrored[once], limits


def group_near(split: Split, hashes: np.ndarray, look: Callable[[], Looks], name: str) -> np.ndarray:
    """(N,) family of near copies that each picture belongs to, -1 for none. Searched once for a set of pictures.

    Args:
        split: the pictures, all of them readable.
        hashes: their content hashes, (N, 16) uint8.
        look: gives their looks; not called where the answer is remembered.
        name: of the set; what was found is filed under it where the pictures lie in no folder.
    """
    ordered = np.unique(hashes, axis=0)
    version = f"{VERSION} {hashlib.blake2b(ordered.tobytes(), digest_size=HASH_BYTES).hexdigest()}"
    store = HashStore(getattr(split, "root", None) or name, "near", width=8, version=version)
    known, values = store.find(hashes)
    if known.all():
        return values.view(np.int64)[:, 0]
    looks = look()
    _, first, group = np.unique(looks.pixels, return_index=True, return_inverse=True)
    i, j, _, limits = find_pairs(looks, first, split.pixels)
    for limit in limits:
        log.warning("%s: %s", name, limit)
    family = _number_shared(join(len(first), group[i], group[j])[group])
    once = np.unique(hashes, axis=0, return_index=True)[1]
    store.keep(hashes[once], family[once, None].view(np.uint8))
    return family


def _number_shared(family: np.ndarray) -> np.ndarray:
    """Numbers from 0 for families of several pictures, -1 for the others."""
    _, family, counts = np.unique(family, return_inverse=True, return_counts=True)
    numbers = np.where(counts > 1, np.cumsum(counts > 1) - 1, -1)
    return numbers[family].astype(np.int64)
