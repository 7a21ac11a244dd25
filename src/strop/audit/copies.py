"""Duplicates, leaks between splits and pictures with two labels, exact and near."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from ..data.look import Looks
from ..data.near import find_pairs
from ..data.split import join
from .collection import NO_LABEL, Collection
from .crops import Embed, find_crops
from .findings import Finding, Item, make_finding


def group_equal(looks: Looks) -> np.ndarray:
    """(N,) number of the group of equal pictures that each belongs to; -1 for a broken one."""
    group = np.full(looks.n, -1, dtype=np.int64)
    readable = np.flatnonzero(looks.readable)
    group[readable] = np.unique(looks.pixels[readable], return_inverse=True)[1]
    return group


def find_exact(collection: Collection, looks: Looks, group: np.ndarray) -> list[Finding]:
    """Leaks, two labels and duplicates among pictures whose pixels (in quick mode: whose files) are equal."""
    leaks, two_labels, duplicates = defaultdict(list), [], []
    for members in _members(group):
        splits, labels = collection.split[members], collection.label[members]
        for early, late in combinations(sorted(set(splits.tolist())), 2):
            inside = members[(splits == early) | (splits == late)]
            leaks[early, late].append((_item(collection, looks, inside), int((splits == late).sum())))
        known = labels[labels != NO_LABEL]
        if len(set(known.tolist())) > 1:
            words = " and ".join(sorted({collection.label_of(i) for i in members if collection.label[i] != NO_LABEL}))
            two_labels.append(Item(_names(collection, members), words))
        for place in sorted(set(zip(splits.tolist(), labels.tolist(), strict=True))):
            same = members[(splits == place[0]) & (labels == place[1])]
            if len(same) > 1:
                duplicates.append(_item(collection, looks, same))
    found = [_leak("leak", collection, pair, rows) for pair, rows in sorted(leaks.items())]
    if two_labels:
        found.append(make_finding("two-labels", two_labels))
    if duplicates:
        extra = sum(len(item.files) - 1 for item in duplicates)
        found.append(make_finding("duplicate", duplicates, count=extra))
    return found


def find_near(
    collection: Collection, looks: Looks, group: np.ndarray, embed: Embed | None = None
) -> tuple[list[Finding], np.ndarray]:
    """The same among near copies: re-encoded, resized or mirrored, and with `embed` cropped.

    Flat pictures are alike by nature and left out.

    Returns: the findings, and (N,) the number of the family of near and equal copies of each picture.
    """
    first = _first_of_each(group)
    i, j, mirrored, limits = find_pairs(looks, first, collection.pixels)
    family = _families(looks.n, group, i, j)
    whole = len(i)
    if embed is not None:
        more = find_crops(collection, looks, first, family, embed)
        i, j, mirrored = (np.concatenate(both) for both in zip((i, j, mirrored), more[:3], strict=True))
        limits, family = limits + more[3], _families(looks.n, group, i, j)
    members = defaultdict(list)
    for place in np.flatnonzero(np.isin(group, group[np.concatenate([i, j])])):
        members[int(group[place])].append(int(place))
    leaks, two_labels, same = defaultdict(dict), [], []
    for number, (a, b, turned) in enumerate(zip(i.tolist(), j.tolist(), mirrored.tolist(), strict=True)):
        left, right = members[int(group[a])], members[int(group[b])]
        note = _tell_difference(looks, a, b, turned, cropped=number >= whole)
        _add_leaks(collection, left, right, note, leaks)
        pairs = _pair_up(collection, left, right)
        same += [(x, y, note) for x, y in pairs if collection.label[x] == collection.label[y]]
        for x, y in [(x, y) for x, y in pairs if collection.label[x] != collection.label[y]][:1]:
            words = f"{collection.label_of(x)} and {collection.label_of(y)}; {note}"
            two_labels.append(Item(_names(collection, [x, y]), words))
    found = [_leak("near-leak", collection, pair, rows.values()) for pair, rows in sorted(leaks.items())]
    if two_labels:
        found.append(make_finding("near-two-labels", two_labels))
    if same:
        items = list(_join(collection, same))
        found.append(make_finding("near-duplicate", items, count=sum(len(item.files) - 1 for item in items)))
    if limits:
        found.append(make_finding("limit", [Item((), limit) for limit in limits]))
    return found, family


def _members(group: np.ndarray) -> Iterator[np.ndarray]:
    """The members of each group of at least two, in order of the first."""
    shared = np.bincount(group[group >= 0], minlength=1) > 1
    several = np.flatnonzero(np.where(group >= 0, shared[group], False))
    order = several[np.argsort(group[several], kind="stable")]
    if not len(order):
        return
    cuts = np.flatnonzero(np.diff(group[order])) + 1
    yield from sorted(np.split(order, cuts), key=lambda part: part[0])


def _first_of_each(group: np.ndarray) -> np.ndarray:
    numbers, first = np.unique(group, return_index=True)
    return first[numbers >= 0]


def _families(n: int, group: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Near pairs and equal groups joined; a broken picture is a family of its own."""
    own = np.where(group >= 0, group, np.arange(n) + n)
    return join(2 * n, own[i], own[j])[own]


def _pair_up(collection: Collection, left: list[int], right: list[int]) -> list[tuple[int, int]]:
    """What a near pair of groups means, picture by picture: equal labels in one split, or different labels anywhere."""
    sides = []
    for side in (left, right):
        places = {(int(collection.split[k]), int(collection.label[k])): k for k in reversed(side)}
        sides.append(sorted(places.items()))
    return [
        (x, y)
        for (x_split, x_label), x in sides[0]
        for (y_split, y_label), y in sides[1]
        if (x_split == y_split if x_label == y_label else NO_LABEL not in (x_label, y_label))
    ]


def _add_leaks(collection: Collection, left: list[int], right: list[int], note: str, leaks: dict) -> None:
    """Put a near pair under each pair of splits it spans; a later picture is told once, with all its copies."""
    for earlier, later in ((left, right), (right, left)):
        for late in later:
            for early in {int(collection.split[k]): k for k in reversed(earlier)}.values():
                pair = int(collection.split[early]), int(collection.split[late])
                if pair[0] < pair[1]:
                    name = collection.names[late]
                    item = leaks[pair].get(name, (Item((name,), note), 1))[0]
                    leaks[pair][name] = (Item((collection.names[early], *item.files), item.note), 1)


def _leak(kind: str, collection: Collection, pair: tuple[int, int], rows) -> Finding:
    rows = list(rows)
    early, late = (collection.splits[split] for split in pair)
    return make_finding(
        kind, [item for item, _ in rows], count=sum(count for _, count in rows), earlier=early, later=late
    )


def _join(collection: Collection, pairs: list[tuple[int, int, str]]) -> Iterator[Item]:
    """Pairs that share a picture become one item."""
    places = sorted({place for a, b, _ in pairs for place in (a, b)})
    number = {place: k for k, place in enumerate(places)}
    row, column = (np.array([number[pair[side]] for pair in pairs]) for side in (0, 1))
    part = join(len(places), row, column).tolist()
    joined, notes = defaultdict(list), {}
    for place in places:
        joined[part[number[place]]].append(place)
    for a, _, note in pairs:
        notes.setdefault(part[number[a]], note)
    for key, together in joined.items():
        yield Item(_names(collection, together), notes[key] if len(together) == 2 else f"{len(together)} near copies")


def _tell_difference(looks: Looks, a: int, b: int, mirrored: bool, *, cropped: bool) -> str:
    words = ["cropped"] * cropped + ["mirrored"] * mirrored
    if (looks.size[a] != looks.size[b]).any():
        words.append(" and ".join(f"{width} x {height}" for height, width in (looks.size[a], looks.size[b])))
    return ", ".join(words) or "same size"


def _item(collection: Collection, looks: Looks, members: np.ndarray) -> Item:
    same_file = len(np.unique(looks.content[members])) == 1
    return Item(_names(collection, members), "" if same_file else "equal pixels in different files")


def _names(collection: Collection, places) -> tuple[str, ...]:
    return tuple(collection.names[place] for place in places)
