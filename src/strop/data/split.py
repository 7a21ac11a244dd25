"""Choose pictures by what they show, so that neither order nor names matter: validation, test and folds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    import numpy as np

Hashes = "Sequence[str] | np.ndarray"
_BLOCK = 65536


def choose_validation(
    hashes: Hashes,
    labels: Sequence[int],
    fraction: float,
    seed: int = 0,
    *,
    groups: Sequence[str] | None = None,
    near: np.ndarray | None = None,
    purpose: str = "validation",
) -> np.ndarray:
    """Choose round(fraction * n) of each class's n pictures, those whose keyed content hash ranks lowest.

    Pictures of equal content, of one group or of one family of near copies stay together, also across classes: what
    would lead beyond a class's share is passed over. Each class gives at least one picture and never all of them; a
    class that can't do both (one picture, or all of equal content) gives none.

    Args:
        hashes: content hash of each picture, N texts or (N, 16) uint8.
        labels: class of each picture.
        fraction: share that is chosen; 0 <= fraction < 1.
        seed: another seed ranks differently.
        groups: what each picture belongs to, "" for nothing; a group ranks by the hash of its name.
        near: (N,) number of each picture's family of near copies, -1 for none.
        purpose: "validation" or "test"; another one ranks differently.
    Shape:
        Returns: (n,) bool, True for what is chosen.
    Raises:
        UserError: fraction is out of range.
    """
    import numpy as np

    if not 0 <= fraction < 1:
        raise UserError(f"data.{purpose}", f"{fraction:g} is no share of the training pictures. Write 0% to 99%.")
    if fraction == 0 or not len(hashes):
        return np.zeros(len(hashes), bool)
    clusters = _cluster(hashes, labels, groups, near)
    total = clusters.totals()
    want = [min(max(round(fraction * n), 1), n - 1) if n else 0 for n in total]
    room = list(want)
    ranked = clusters.rank(f"{purpose} {seed}")
    chosen = clusters.fill(ranked, room)
    taken = [w - r for w, r in zip(want, room, strict=True)]
    for label, n in enumerate(total):
        if n > 1 and not taken[label]:
            chosen += _take_least(clusters, ranked, label, taken, total)
    return np.isin(clusters.ids, np.array(chosen, np.int64))


def choose_folds(
    hashes: Hashes,
    labels: Sequence[int],
    n: int,
    seed: int = 0,
    *,
    groups: Sequence[str] | None = None,
    near: np.ndarray | None = None,
) -> np.ndarray:
    """Divide pictures into n folds of equal size, the same in each class to one picture, ranked as validation is.

    Pictures of equal content, of one group or family of near copies are in one fold; where they are many, folds differ
    by that much.

    Args:
        hashes, labels, seed, groups, near: as for `choose_validation`.
        n: how many folds; 2 to the number of pictures.
    Shape:
        Returns: (N,) int64 in [0, n).
    """
    import numpy as np

    clusters = _cluster(hashes, labels, groups, near)
    ranked = clusters.rank(f"folds {seed}")
    folds = np.full(len(clusters.first), -1, np.int64)
    rooms = []
    for fold in range(n):
        # What does not divide evenly goes to other folds for other classes, or the first would be the largest.
        room = [total // n + ((fold - label) % n < total % n) for label, total in enumerate(clusters.totals())]
        folds[clusters.fill(ranked, room)] = fold
        ranked = ranked[folds[ranked] < 0]
        rooms.append(room)
    for cluster in ranked.tolist():  # too large for what was left anywhere: where it overflows least
        cells = clusters.cells(cluster)
        fold = max(range(n), key=lambda fold: min(rooms[fold][label] - count for label, count in cells))
        folds[cluster] = fold
        for label, count in cells:
            rooms[fold][label] -= count
    return folds[clusters.ids]


def spread(
    chosen: np.ndarray, hashes: Hashes, groups: Sequence[str] | None = None, near: np.ndarray | None = None
) -> np.ndarray:
    """Choose with each picture all that must be where it is: copies, near ones too, and what is of its group.

    Shape:
        chosen: (N,) bool. Returns: (N,) bool.
    """
    import numpy as np

    if not len(chosen):
        return chosen
    ids, first = _Tokens(hashes, groups, near).gather()
    out = np.zeros(len(first), bool)
    out[ids[chosen]] = True
    return out[ids]


@dataclass
class _Clusters:
    """Pictures that must stay together, and how many of each class each cluster has.

    Attributes:
        ids: (N,) cluster of each picture.
        first: (G,) a picture of each cluster; its token ranks the cluster.
        tokens: text of a picture, by its number.
        starts, labels, counts: the cells (label, count) of cluster g are those from starts[g] to starts[g + 1].
    """

    ids: np.ndarray
    first: np.ndarray
    tokens: _Tokens
    starts: np.ndarray
    labels: np.ndarray
    counts: np.ndarray

    def totals(self) -> list[int]:
        """Pictures of each class."""
        import numpy as np

        return np.bincount(self.labels, weights=self.counts).astype(int).tolist()

    def rank(self, secret: str) -> np.ndarray:
        """Clusters in the order of the keyed hash of their tokens."""
        import numpy as np

        key = secret.encode()
        digests = bytearray()
        for start in range(0, len(self.first), _BLOCK):  # a list of all numbers would take 50 MB for 1.28 million
            for picture in self.first[start : start + _BLOCK].tolist():
                digests += hashlib.blake2b(self.tokens[picture].encode(), digest_size=16, key=key).digest()
        halves = np.frombuffer(digests, ">u8").reshape(-1, 2)
        return np.lexsort((halves[:, 1], halves[:, 0]))

    def cells(self, cluster: int) -> list[tuple[int, int]]:
        """(label, count) of a cluster."""
        part = slice(self.starts[cluster], self.starts[cluster + 1])
        return list(zip(self.labels[part].tolist(), self.counts[part].tolist(), strict=True))

    def fill(self, ranked: np.ndarray, room: list[int]) -> list[int]:
        """Take clusters in their order as long as all their classes have room; `room` becomes what is left."""
        import numpy as np

        chosen = []
        for start in range(0, len(ranked), _BLOCK):
            block = ranked[start : start + _BLOCK]
            first = self.starts[block]
            # Once a class is full, all that remains of it is passed over at once.
            block = block[np.array(room)[self.labels[first]] >= self.counts[first]]
            single = (self.starts[block + 1] - self.starts[block] == 1).tolist()
            labels, counts = self.labels[self.starts[block]].tolist(), self.counts[self.starts[block]].tolist()
            for cluster, alone, label, count in zip(block.tolist(), single, labels, counts, strict=True):
                cells = ((label, count),) if alone else self.cells(cluster)
                if all(room[label] >= count for label, count in cells):
                    chosen.append(cluster)
                    for label, count in cells:
                        room[label] -= count
        return chosen


def _take_least(clusters: _Clusters, ranked: np.ndarray, label: int, taken: list[int], total: list[int]) -> list[int]:
    """Only clusters too large for the share are left for this class: the smallest that leaves every class a picture."""
    import numpy as np

    having = np.flatnonzero(clusters.labels == label)
    owners = np.searchsorted(clusters.starts, having, side="right") - 1
    place = np.empty(len(ranked), np.int64)
    place[ranked] = np.arange(len(ranked))
    for cluster in owners[np.lexsort((place[owners], clusters.counts[having]))].tolist():
        cells = clusters.cells(cluster)
        if all(taken[other] + count < total[other] for other, count in cells):
            for other, count in cells:
                taken[other] += count
            return [cluster]
    return []


def _cluster(hashes: Hashes, labels: Sequence[int], groups: Sequence[str] | None, near: np.ndarray | None) -> _Clusters:
    import numpy as np

    labels = np.asarray(labels, np.int64)
    tokens = _Tokens(hashes, groups, near)
    ids, first = tokens.gather()
    k = int(labels.max()) + 1
    cells, counts = np.unique(ids * k + labels, return_counts=True)
    starts = np.searchsorted(cells // k, np.arange(len(first) + 1))
    return _Clusters(ids, first, tokens, starts, cells % k, counts)


class _Tokens:
    """The text that stands for a picture when it is ranked: its group, else its content hash."""

    def __init__(self, hashes: Hashes, groups: Sequence[str] | None, near: np.ndarray | None):
        self.hashes, self.groups = hashes, groups
        self.near = near if near is not None and (near >= 0).any() else None

    def __getitem__(self, i: int) -> str:
        if self.groups is not None and self.groups[i]:
            return f"group {self.groups[i]}"
        content = self.hashes[i]
        return content if isinstance(content, str) else content.tobytes().hex()

    def gather(self) -> tuple[np.ndarray, np.ndarray]:
        """Number the clusters: (ids (N,), a picture of each (G,)).

        Equal content joins, and so does a group or a family of near copies, and so on along the chain: a copy of a
        picture of one group in another joins the two groups. The smallest token of a cluster stands for it.
        """
        import numpy as np

        contents, first = _number(self.hashes)
        if self.groups is None and self.near is None:
            return contents, first
        numbers: dict[str, int] = {}
        grouped = [(i, numbers.setdefault(group, len(numbers))) for i, group in enumerate(self.groups or ()) if group]
        edges = np.array(grouped, np.int64).reshape(-1, 2)
        n = len(first) + len(numbers)
        if self.near is not None:
            members = np.flatnonzero(self.near >= 0)
            edges = np.concatenate([edges, np.column_stack([members, len(numbers) + self.near[members]])])
            n += int(self.near.max()) + 1
        links = (contents[edges[:, 0]], len(first) + edges[:, 1])
        ids = join(n, *links)[contents].astype(np.int64)
        _, ids = np.unique(ids, return_inverse=True)
        return ids, self._find_smallest(ids)

    def _find_smallest(self, ids: np.ndarray) -> np.ndarray:
        """For each cluster the picture with the smallest token; a group goes before a hash."""
        import numpy as np

        best: dict[int, tuple[bool, str, int]] = {}
        for i, cluster in enumerate(ids.tolist()):
            token = self[i]
            rank = (not token.startswith("group "), token, i)
            if cluster not in best or rank < best[cluster]:
                best[cluster] = rank
        return np.array([best[cluster][2] for cluster in range(len(best))], np.int64)


def join(n: int, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """(n,) number of what each of n things hangs together with, by links from i to j."""
    import numpy as np

    if not len(i):
        return np.arange(n)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(i), np.int8), (i, j)), shape=(n, n))
    return connected_components(links, directed=False)[1]


def _number(hashes: Hashes) -> tuple[np.ndarray, np.ndarray]:
    """Number equal hashes alike: (number of each (N,), where each number is first seen (G,))."""
    import numpy as np

    if not isinstance(hashes, np.ndarray):
        _, first, numbers = np.unique(np.array(list(hashes)), return_index=True, return_inverse=True)
        return numbers, first
    halves = np.ascontiguousarray(hashes).view(np.uint64).reshape(-1, 2)
    order = np.lexsort((halves[:, 1], halves[:, 0]))
    ordered = halves[order]
    new = np.ones(len(ordered), bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    numbers = np.empty(len(ordered), np.int64)
    numbers[order] = np.cumsum(new) - 1
    return numbers, order[new]
