"""How a batch is cut: into a share for each rank, and each share into chunks that are computed one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..errors import UserError

FEWEST = 2  # pictures of a part: batch norm can't train on a single one


class Chunk(NamedTuple):
    """What goes through the network at once.

    Attributes:
        number: of the chunk in its batch; None where batches are not cut.
        start, stop: its rows in the part of the batch that this process holds.
    """

    number: int | None
    start: int
    stop: int


class Cut(NamedTuple):
    """How one batch is cut.

    Attributes:
        pictures: of the whole batch, over all processes.
        shares: the chunks of each share held here.
        in_pairs: sums over the processes keep the order of sums over the shares of one.
    """

    pictures: int
    shares: list[list[Chunk]]
    in_pairs: bool = False


@dataclass(frozen=True)
class Parts:
    """Cut batches of any size, the same way in every process.

    A share has n / ranks pictures and a chunk n / ranks / accumulate, one more or less; where that would be fewer
    than two, a batch is cut into fewer parts, and the last ranks have none of it.

    Args:
        ranks: shares of a batch, >= 1: one for each process, or more (virtual ranks).
        accumulate: chunks of a share, >= 1.
        first, held: the ranks whose shares this process computes; all by default.
        in_pairs: see `Cut`; for powers of two.
    """

    ranks: int = 1
    accumulate: int = 1
    first: int = 0
    held: int | None = None
    in_pairs: bool = False

    def check(self, batch_size: int) -> None:
        """Raises UserError where a full batch has not two pictures for each chunk."""
        chunks = self.ranks * self.accumulate
        if chunks > 1 and batch_size < FEWEST * chunks:
            ranks = f"{self.ranks} ranks x " if self.ranks > 1 else ""
            raise UserError(
                f"batch_size {batch_size}",
                f"is too small for {ranks}{self.accumulate} chunks of {FEWEST} pictures or more. "
                f"Write {FEWEST * chunks} or more, or a smaller accumulate.",
            )

    def rows(self, n: int) -> tuple[int, int]:
        """Which pictures of a batch of n this process holds: from, and up to."""
        shares = self._shares(n)
        return (shares[0][0], shares[-1][1]) if shares else (n, n)

    def cut(self, n: int) -> Cut:
        """The chunks of each rank held here, for a batch of n pictures; a rank without pictures has none."""
        if self.ranks * self.accumulate == 1:
            return Cut(n, [[Chunk(None, 0, n)]])
        origin, _ = self.rows(n)
        shares = []
        for rank, (start, stop) in enumerate(self._shares(n), self.first):
            bounds = _split(start, stop, self.accumulate)
            number = rank * self.accumulate
            shares.append([Chunk(number + i, a - origin, b - origin) for i, (a, b) in enumerate(bounds)])
        return Cut(n, shares + [[] for _ in range(self._held - len(shares))], self.in_pairs)

    @property
    def _held(self) -> int:
        return self.ranks if self.held is None else self.held

    def _shares(self, n: int) -> list[tuple[int, int]]:
        return _split(0, n, self.ranks)[self.first : self.first + self._held]


def _split(start: int, stop: int, parts: int) -> list[tuple[int, int]]:
    """Equal ranges, one picture more or less; fewer of them where one would hold fewer than two pictures."""
    n = stop - start
    parts = min(parts, max(1, n // FEWEST))
    return [(start + n * i // parts, start + n * (i + 1) // parts) for i in range(parts)]
