"""One training on several processes: who computes which share, what they decide together, and what is warned of."""

from __future__ import annotations

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from ..data.parts import Parts
from ..errors import UserError
from ..launch import here
from ..train.signals import StopRequest
from .options import TrainingOptions
from .saving import Checkpoints
from .step import log


def make_parts(options: TrainingOptions, model: torch.nn.Module) -> Parts:
    """How batches are cut; says where that changes what batch norm sees.

    Raises:
        UserError: virtual ranks that the processes can't divide among them, or too few pictures in a batch.
    """
    processes, virtual = here().size, options.virtual_ranks
    if virtual and virtual % processes:
        fitting = ", ".join(str(2**power) for power in range(virtual.bit_length()))
        raise UserError(
            f"--virtual-ranks {virtual}",
            f"can't be divided among {processes} processes. Start {fitting}, or leave the option out.",
        )
    ranks = virtual or processes
    held = ranks // processes
    parts = Parts(ranks, options.accumulate, here().rank * held, held, in_pairs=virtual is not None)
    parts.check(options.batch_size)
    if any(isinstance(module, _BatchNorm) for module in model.modules()):
        chunks = ranks * options.accumulate
        if chunks > 1:
            log.info("  batch norm: statistics of %d of %d pictures", options.batch_size // chunks, options.batch_size)
        if processes > 1 and not virtual:
            power_of_two = processes & (processes - 1) == 0
            way = f"; with --virtual-ranks {processes} they are, to the bit" if power_of_two else ""
            log.warning("  so the weights are not those of one process%s", way)
    return parts


class Decision:
    """What all processes do next, settled together: each hears its own signals, and only the first has a clock."""

    def __init__(self, stop: StopRequest, checkpoints: Checkpoints):
        self._stop, self._checkpoints = stop, checkpoints
        self._signal, self._save = 0, False

    @property
    def signal(self) -> int | None:
        """The one that asks to stop; a process by itself hears it at once, several when they settle."""
        return self._stop.signal if here().size == 1 else self._signal or None

    @property
    def save(self) -> bool:
        """Whether a checkpoint is to be written now."""
        return self._save or self.signal is not None

    def settle(self, epoch: int | None = None) -> bool:
        """Ask all; every process must do so at the same update. Returns `save`.

        Args:
            epoch: the one that has ended, if one has.
        """
        due = self._checkpoints.due() if epoch is None else self._checkpoints.due_after(epoch)
        signal, save = here().most([self._stop.signal or 0, due])
        self._signal, self._save = int(signal), bool(save)
        return self.save
