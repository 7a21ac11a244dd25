"""What can go wrong, and the exit code that belongs to it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

DONE, FAILED, WRONG_INPUT, GATE_NOT_HELD, AUDIT_ERRORS = 0, 1, 2, 3, 4
INTERRUPTED, TERMINATED = 130, 143


class StropError(Exception):
    """Base of every error that strop raises on purpose; `code` is the exit code."""

    code = FAILED


class UserError(StropError):
    """Something the user can fix. Nothing was run.

    Args:
        where: the file, option or folder that is wrong.
        problems: one sentence each: what is wrong with the value shown, and what to write instead.
    """

    code = WRONG_INPUT

    def __init__(self, where: str, *problems: str):
        self.where, self.problems = where, list(problems)
        super().__init__(str(self))

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"{self.where}: {self.problems[0]}"
        lines = [f"{self.where}: {len(self.problems)} problems, nothing was run"]
        return "\n".join(lines + [f"  {problem}" for problem in self.problems])


class RunFailed(StropError):
    """A step broke while it ran; what was saved before stays."""

    code = FAILED


class NotFinite(RunFailed):
    """A loss or a weight became NaN or infinite.

    Args:
        what: "the loss is nan".
        step: the update that it happened in, from 0; `epoch` from 1; `lr` its learning rate.
    """

    def __init__(self, what: str, *, step: int, epoch: int, lr: float):
        self.step, self.epoch, self.lr = step, epoch, lr
        super().__init__(
            f"{what} at step {step} (epoch {epoch}, learning rate {lr:.3g}). "
            "Lower --lr, or train with --precision fp32."
        )


class GateFailed(StropError):
    """A result does not keep what was promised (`expect`, a budget that can't be met)."""

    code = GATE_NOT_HELD


class Terminated(KeyboardInterrupt):
    """SIGTERM where nothing needs saving: unwinds like Ctrl-C."""


class AuditFailed(StropError):
    """The data set has errors, and the user wants none (`--audit strict`). Nothing was run."""

    code = AUDIT_ERRORS


class Interrupted(StropError):
    """A signal stopped the run after its checkpoint was written.

    Args:
        signal_number: SIGINT gives exit code 130, SIGTERM 143.
        hint: how to go on.
    """

    def __init__(self, signal_number: int, hint: str):
        self.code = 128 + signal_number
        super().__init__(hint)


def suggest(name: str, known: Iterable[str], show: int = 12) -> str:
    """The tail of an "unknown name" message: the nearest known name, then the known ones.

    >>> suggest("epoch", ["epochs", "model"])
    "Did you mean 'epochs'? Known: epochs, model."
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    guess = f"Did you mean '{near[0]}'? " if near else ""
    more = ", ..." if len(known) > show else "."
    return f"{guess}Known: {', '.join(known[:show])}{more}"
