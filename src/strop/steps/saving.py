"""Checkpoints of one training: when one is due, and writing it while training goes on."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch

from ..errors import RunFailed, UserError
from ..launch import here
from ..train import checkpoint
from ..train.checkpoint import Checkpoint, Snapshot
from ..writing import describe_failure, in_megabytes
from .step import log

MOST_OF_THE_TIME = 0.02  # the share of the time that saving after epochs may take


class Checkpoints:
    """The folder of a training's checkpoints. Of several processes only the first writes, and reads for all.

    A checkpoint is copied in memory and written by a thread: training stops for a third to two fifths of what it
    takes in all (docs/log.md).

    Args:
        folder: made with the first checkpoint.
        seconds: a checkpoint is due when the last one is older; 0 after every update.
        epochs: and after so many epochs, as far as that takes at most 2 % of the time; 0 for never.
        keep: how many stay.
    """

    def __init__(self, folder: Path, *, seconds: float, epochs: int, keep: int):
        self.folder, self.seconds, self.epochs, self.keep = folder, seconds, epochs, keep
        self.stays: int | None = None  # step of a checkpoint that stays beside the last few
        self._first = here().rank == 0
        self._last, self._cost = time.perf_counter(), 0.0
        self._thread, self._writing = ThreadPoolExecutor(1, "checkpoint"), None

    def due(self) -> bool:
        return self._first and time.perf_counter() - self._last >= self.seconds

    def due_after(self, epoch: int) -> bool:
        """Whether one is due at the end of this epoch."""
        rested = time.perf_counter() - self._last
        counts = self._first and bool(self.epochs) and epoch % self.epochs == 0
        return self.due() or counts and rested * MOST_OF_THE_TIME >= self._cost

    def newest(self, *, every: int = 1) -> Checkpoint | None:
        """The newest whole one; see `checkpoint.newest`."""
        self.wait()
        return here().hand_out(checkpoint.newest(self.folder, log.warning, every=every) if self._first else None)

    def check_room(self, size: int) -> None:
        """Refuse, before the work, a disk that can't hold the checkpoints and the model of `size` bytes each."""
        here().from_first(lambda: self._check_room(size))

    def _check_room(self, size: int) -> None:
        there = len(list(self.folder.glob("step-*.json")))
        needed = size * (max(self.keep - there, 0) + 1)
        free = shutil.disk_usage(self.folder.parent).free
        if free < needed:
            raise UserError(
                str(self.folder.parent),
                f"the disk is nearly full: checkpoints need {in_megabytes(needed)} MB, {in_megabytes(free)} MB are "
                "free. Make room, or choose another --out.",
            )

    def write(self, snapshot: Snapshot, *, took: float = 0.0) -> None:
        """Hand one to the thread; waits for the one before.

        Args:
            took: seconds that it took to make.
        Raises:
            RunFailed: the one before could not be written.
        """
        if not self._first:
            return
        self.wait()
        self._last, self._cost = time.perf_counter(), took
        self._writing = self._thread.submit(self._write, snapshot, self.stays)

    def wait(self) -> None:
        """Until the last one is on the disk. Raises RunFailed where it could not be written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            self._result(writing)

    def close(self) -> None:
        self._thread.shutdown()

    def _write(self, snapshot: Snapshot, stays: int | None) -> tuple[Snapshot, OSError | None]:
        start = time.perf_counter()
        try:
            checkpoint.write(self.folder, snapshot, keep=self.keep, also=stays)
        except OSError as error:
            return snapshot, error
        self._cost += time.perf_counter() - start
        return snapshot, None

    def _result(self, writing: Future) -> None:
        snapshot, error = writing.result()
        if error is not None:
            raise RunFailed(
                f"{describe_failure(error, self.folder, len(snapshot.data))} "
                f"{self.describe_newest()} The same command goes on from there."
            ) from error

    def describe_newest(self) -> str:
        """One sentence about where a resumed run would go on; the first process says it for all."""
        if not self._first:
            return ""
        self.wait()
        found = checkpoint.newest(self.folder, lambda text: None)
        if found is None:
            return "There is no checkpoint yet."
        return f"The last good checkpoint is that of step {found.step}, in {self.folder}."


def bytes_of_checkpoint(
    objective: torch.nn.Module, optimizer: torch.optim.Optimizer, weights: dict[str, torch.Tensor]
) -> int:
    """About: the objective, the best weights and their average, and at most two moments of every weight."""
    moved = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments = 1 if isinstance(optimizer, torch.optim.SGD) else 2
    kept = [*objective.state_dict().values(), *weights.values(), *weights.values()]
    return sum(tensor.nbytes for tensor in kept) + moments * sum(weight.nbytes for weight in moved)


def all_finite(tensors: dict[str, torch.Tensor]) -> bool:
    floats = [tensor for tensor in tensors.values() if tensor.is_floating_point()]
    return all(bool(tensor.isfinite().all()) for tensor in floats)
