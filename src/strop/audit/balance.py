"""Classes, sizes and colours: what is empty, missing, rare, uneven, tiny or huge."""

from __future__ import annotations

import numpy as np

from ..data.look import Looks
from .collection import NO_LABEL, Collection
from .findings import Finding, Item, make_finding

FEWEST, MOST_UNEVEN = 10, 10.0
TINY_SIDE, TINY_SHARE = 8, 1 / 8
HUGE_TIMES, HUGE_PIXELS = 64, 1_000_000
_GREY_GAP, _GREY_LEAST = 0.5, 20


def count_classes(collection: Collection, looks: Looks) -> np.ndarray:
    """(splits, classes) int64: readable pictures."""
    counts = np.zeros((len(collection.splits), len(collection.classes)), dtype=np.int64)
    counted = looks.readable & (collection.label != NO_LABEL)
    np.add.at(counts, (collection.split[counted], collection.label[counted]), 1)
    return counts


def find_broken(collection: Collection, looks: Looks) -> list[Finding]:
    """Files that give no picture, one finding for each kind of fault."""
    by_kind: dict[str, list[Item]] = {}
    for i, (kind, reason) in sorted(looks.broken.items()):
        by_kind.setdefault(kind, []).append(Item((collection.names[i],), reason))
    return [make_finding(kind, items) for kind, items in by_kind.items()]


def find_imbalance(collection: Collection, looks: Looks) -> list[Finding]:
    """Classes of which nothing is readable, that a split lacks, that are very small, or very uneven."""
    counts = count_classes(collection, looks)
    listed = np.zeros_like(counts)
    known = collection.label != NO_LABEL
    np.add.at(listed, (collection.split[known], collection.label[known]), 1)
    train = counts[0]
    broken = [_class_item(collection, s, c, "none of its pictures can be read") for s, c in np.argwhere(listed > counts)
              if counts[s, c] == 0]  # fmt: skip
    missing = [
        Item((), f"{collection.splits[s]} has no '{collection.classes[c]}'")
        for s, c in np.argwhere(listed == 0)
        if s > 0 and train[c] > 0
    ]
    few = [_class_item(collection, 0, c, f"{train[c]}") for c in np.flatnonzero((train > 0) & (train < FEWEST))]
    found = [make_finding("empty-class", broken)] if broken else []
    found += [make_finding("missing-class", missing)] if missing else []
    found += [make_finding("few", few, least=FEWEST)] if few else []
    if (train > 0).sum() > 1:
        filled = np.flatnonzero(train > 0)
        small, large = filled[train[filled].argmin()], filled[train[filled].argmax()]
        ratio = train[large] / train[small]
        if ratio > MOST_UNEVEN:
            items = [_class_item(collection, 0, c, f"{train[c]:,}") for c in (large, small)]
            found.append(make_finding("imbalance", items, ratio=f"{ratio:.0f}"))
    return found


def find_sizes(collection: Collection, looks: Looks) -> list[Finding]:
    """Pictures far smaller or larger than the others, and the spread of sizes."""
    readable = np.flatnonzero(looks.measured)
    if not len(readable):
        return []
    height, width = looks.size[readable].T.astype(np.int64)
    short, area = np.minimum(height, width), height * width
    tiny = (short < TINY_SIDE) | (short < np.median(short) * TINY_SHARE)
    huge = (area > HUGE_PIXELS) & (area > np.median(area) * HUGE_TIMES)
    found = []
    for kind, chosen in (("tiny", tiny), ("huge", huge)):
        items = [
            Item((collection.names[readable[k]],), f"{width[k]} x {height[k]} pixels") for k in np.flatnonzero(chosen)
        ]
        found += [make_finding(kind, items)] if items else []
    order = np.argsort(area, kind="stable")
    least, middle, most = (f"{width[k]} x {height[k]}" for k in order[[0, len(order) // 2, -1]])
    if least != most:
        items = [Item((collection.names[readable[k]],), f"{width[k]} x {height[k]}") for k in order[[0, -1]]]
        count = len(np.unique(looks.size[readable], axis=0))
        found.append(make_finding("resolution", items, count=count, smallest=least, largest=most, median=middle))
    return found


def find_colours(collection: Collection, looks: Looks) -> list[Finding]:
    """Grey pictures, colour pictures that use one channel, flat ones, and classes told by being grey."""
    readable = looks.measured
    found = []
    for kind, chosen in (("blank", looks.blank), ("one-channel", looks.single)):
        if not looks.quick and (readable & chosen).any():
            items = [Item((collection.names[i],)) for i in np.flatnonzero(readable & chosen)]
            found.append(make_finding(kind, items))
    grey, total = int((looks.grey & readable).sum()), int(readable.sum())
    if not grey:
        return found
    if grey == total:
        return [*found, make_finding("grey", [], count=grey, total=f"{total:,}")]
    items = [Item((collection.names[i],)) for i in np.flatnonzero(looks.grey & readable)]
    found.append(make_finding("grey", items, total=f"{total:,}"))
    classes = []
    for c, name in enumerate(collection.classes):
        inside, outside = readable & (collection.label == c), readable & (collection.label != c)
        if min(inside.sum(), outside.sum()) >= _GREY_LEAST:
            share, others = looks.grey[inside].mean(), looks.grey[outside].mean()
            if abs(share - others) > _GREY_GAP:
                classes.append(Item((), f"{name}: {100 * share:.0f} % grey, the others {100 * others:.0f} %"))
    return found + ([make_finding("grey-class", classes)] if classes else [])


def _class_item(collection: Collection, split: int, label: int, note: str) -> Item:
    return Item((), f"{collection.classes[label]} in {collection.splits[split]}: {note}")
