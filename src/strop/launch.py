"""This process among those that torchrun started. No torch: `train.distributed` brings them together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Any


class Alone:
    """One process by itself: everything that several do together, done by one. See `train.distributed.Ranks`."""

    rank, size = 0, 1

    def from_first(self, make: Callable[[], Any]) -> Any:
        return make()

    def wait_for_all(self) -> None:
        pass

    def sum(self, tensors: list, *, in_pairs: bool) -> None:
        pass

    def share(self, tensors: list) -> None:
        pass

    def most(self, values: Sequence[float]) -> list[float]:
        return list(values)

    def add(self, table: Any) -> Any:
        return table

    def hand_out(self, checkpoint: Any) -> Any:
        return checkpoint


ALONE = Alone()
_here: Any = ALONE


def here() -> Any:
    """The processes that work on this step together: `ALONE`, or `train.distributed.Ranks` after `join`."""
    return _here


def set_here(ranks: Any) -> None:
    global _here
    _here = ranks


def first_then_others(make: Callable[[], Any]) -> Any:
    """What `make` gives here, after it was done in the first process: the others find what that one has cached."""
    made: list = []
    _here.from_first(lambda: made.append(make()))
    return made[0] if made else make()


def rank() -> int:
    """The number of this process, as torchrun gave it; 0 without torchrun."""
    return int(os.environ["RANK"]) if processes() > 1 else 0


def processes() -> int:
    """How many processes torchrun started on all machines; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "RANK" in os.environ and "MASTER_ADDR" in os.environ else 1


def local_rank() -> int:
    """The number of this process on its machine."""
    return int(os.environ.get("LOCAL_RANK", 0))


def local_processes() -> int:
    """How many of them share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if processes() > 1 else 1


def who() -> str:
    """How a message begins: the first process needs no name."""
    return f"rank {rank()}: " if rank() else ""


@contextmanager
def first_speaks() -> Iterator[None]:
    """Within the block only the first process prints to stdout."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere) if rank() else nullcontext():
        yield
