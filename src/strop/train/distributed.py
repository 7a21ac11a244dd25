"""Processes that train one model together, in plain torch.distributed: gloo between CPUs, nccl between GPUs.

Each computes its shares of every batch; after an update all hold the same weights, optimizer state, buffers and sums,
to the bit. So any of them could evaluate, save or go on alone, and only the first does what leaves a trace.
"""

from __future__ import annotations

import atexit
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.distributed as dist
from torch import Tensor

from .. import launch
from ..errors import RunFailed, StropError, UserError
from .checkpoint import Checkpoint

LOOK_SECONDS = 0.05
LEAVE_SECONDS = 5.0


def join(*, device: str, timeout: float) -> Ranks:
    """Wait for the processes that torchrun started; the same `Ranks` when called again.

    Args:
        device: "cpu" for gloo alone; else what lies on a GPU goes through nccl.
        timeout: seconds until a process that waits for another gives up.
    Raises:
        UserError: more processes than GPUs on this machine.
        RunFailed: they don't come together.
    """
    if isinstance(launch.here(), Ranks):
        return launch.here()
    backend = "gloo"
    if device != "cpu" and torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        if launch.local_rank() >= torch.cuda.device_count():
            raise UserError(
                f"torchrun --nproc-per-node {launch.local_processes()}",
                f"there are {torch.cuda.device_count()} GPUs here. Start a process for each, or add --device cpu.",
            )
        torch.cuda.set_device(launch.local_rank())
    wait = timedelta(seconds=timeout)
    with _or_failed():
        store, rank, size = next(dist.rendezvous("env://", timeout=wait))
        # torchrun keeps one store over its restarts; without a name of its own a new attempt would read the
        # addresses of the dead one in it, and wait for them.
        store = dist.PrefixStore(f"attempt{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=wait)
    ranks = Ranks(rank, size, dist.PrefixStore("told", store))
    atexit.register(_leave, ranks)
    launch.set_here(ranks)
    return ranks


@dataclass
class Ranks:
    """This process among the others. All of them must call the same methods in the same order.

    Attributes:
        rank: number of this process; 0 is the first, which alone writes.
        size: how many there are.
    """

    rank: int
    size: int
    store: dist.Store
    told: int = 0
    lost: bool = False  # another is gone

    def from_first(self, make: Callable[[], Any]) -> Any:
        """What `make` gives in the first process, in all of them; the others don't call it and wait however long.

        Args:
            make: returns JSON; where it fails, the others end too, with its exit code.
        """
        self.told += 1
        name = str(self.told)
        if self.rank == 0:
            try:
                value = make()
            except StropError as error:
                self.store.set(name, json.dumps({"code": error.code}))
                raise
            self.store.set(name, json.dumps({"value": value}))
            return value
        with self._together():
            while not self.store.check([name]):  # in Python, so that a signal is heard
                time.sleep(LOOK_SECONDS)
            said = json.loads(self.store.get(name))
        if "code" in said:
            raise SystemExit(said["code"])
        return said["value"]

    def wait_for_all(self) -> None:
        """Wait, however long, until all have come here; what follows then is within the timeout."""
        self.told += 1
        name = str(self.told)
        with self._together():
            self.store.add(name, 1)
            while self.store.add(name, 0) < self.size:
                time.sleep(LOOK_SECONDS)

    def sum(self, tensors: list[Tensor], *, in_pairs: bool) -> None:
        """Replace tensors by their sums over the processes, the same bits in each of them.

        Args:
            in_pairs: keep the order of `gradient.PairwiseSum`, so that the bits are those of any other power of two
                of processes. Sends log2(size) times the tensors, torch's own way less than twice.
        """
        for flat, write_back in _flattened(tensors):
            with self._together():
                if in_pairs:
                    flat = self._sum_in_pairs(flat)
                else:
                    dist.all_reduce(flat)
            write_back(flat)

    def _sum_in_pairs(self, mine: Tensor) -> Tensor:
        """Neighbours exchange and add, then neighbours' neighbours: both get the same, as a + b = b + a."""
        distance = 1
        while distance < self.size:
            other, theirs = self.rank ^ distance, torch.empty_like(mine)
            exchange = [dist.P2POp(dist.isend, mine, other), dist.P2POp(dist.irecv, theirs, other)]
            for work in dist.batch_isend_irecv(exchange):
                work.wait()
            mine = mine + theirs
            distance *= 2
        return mine

    def share(self, tensors: list[Tensor]) -> None:
        """Replace tensors by those of the first process."""
        for flat, write_back in _flattened(tensors):
            with self._together():
                dist.broadcast(flat, 0)
            write_back(flat)

    def most(self, values: Sequence[float]) -> list[float]:
        """The largest of each value over the processes: how they agree on what to do next."""
        largest = torch.tensor(values, dtype=torch.float64)
        with self._together():
            dist.all_reduce(largest, dist.ReduceOp.MAX)
        return largest.tolist()

    def add(self, table: np.ndarray) -> np.ndarray:
        """Counts and sums of an evaluation, added over the processes."""
        total = torch.from_numpy(table.copy())
        with self._together():
            dist.all_reduce(total)
        return total.numpy()

    def hand_out(self, checkpoint: Checkpoint | None) -> Checkpoint | None:
        """The first process's checkpoint, whatever the others hold."""
        about = self.from_first(lambda: checkpoint and {"step": checkpoint.step, "facts": checkpoint.facts})
        if about is None:
            return None
        data = safetensors.torch.save(checkpoint.tensors) if self.rank == 0 else b""
        size = self.from_first(lambda: len(data))
        block = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(size, dtype=torch.uint8)
        self.share([block])
        if self.rank == 0:
            return checkpoint
        return Checkpoint(about["step"], safetensors.torch.load(block.numpy().tobytes()), about["facts"])

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            with _or_failed():
                yield
        except RunFailed:
            self.lost = True
            raise


@torch.no_grad()
def _flattened(tensors: list[Tensor]) -> Iterator[tuple[Tensor, Callable[[Tensor], None]]]:
    """The tensors of each kind as one vector, and how to write the vector back: one message instead of many."""
    kinds: dict[tuple, list[Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault((tensor.device, tensor.dtype), []).append(tensor)
    for same in kinds.values():

        def write_back(flat: Tensor, same=same) -> None:
            for tensor, piece in zip(same, flat.split([tensor.numel() for tensor in same]), strict=True):
                tensor.detach().copy_(piece.view_as(tensor))

        yield torch.cat([tensor.detach().reshape(-1) for tensor in same]), write_back


@contextmanager
def _or_failed() -> Iterator[None]:
    """What torch says when another process is gone or too slow, as an error with a way out."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0].rpartition("] ")[2].partition(". ")[0]
        raise RunFailed(
            f"the other processes are gone or too slow ({reason}). The same command goes on from the last checkpoint; "
            "torchrun --max-restarts 3 gives it by itself. A longer --timeout helps where they are slow."
        ) from error


def _leave(ranks: Ranks) -> None:
    """The first goes last where the others hear through it, and not through torchrun."""
    if not ranks.lost and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        end = time.monotonic() + LEAVE_SECONDS
        with suppress(RuntimeError):
            left = ranks.store.add("left", 1)
            while ranks.rank == 0 and left < ranks.size and time.monotonic() < end:
                time.sleep(LOOK_SECONDS)
                left = ranks.store.add("left", 0)
    dist.destroy_process_group()
