"""What is written and shown of each epoch: a line, a row, a bar, and the best so far."""

from __future__ import annotations

import csv
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import UserError
from ..runs import Run
from .sparsity import word_sparsity
from .step import log

FIGURES = ("loss", "accuracy", "recall")
FIGURED = tuple(f"{split}_{name}" for split in ("train", "val") for name in FIGURES)
COLUMNS = ("epoch", *FIGURED, "lr", "seconds", "zero_share")


@dataclass
class Best:
    """The epoch that validation likes best so far: the highest accuracy, then the lowest loss."""

    epoch: int = 0
    accuracy: float = -1.0  # below any: the first epoch is always better
    loss: float = 0.0

    def improve(self, epoch: int, val: dict) -> bool:
        if (val["accuracy"], -val["loss"]) <= (self.accuracy, -self.loss):
            return False
        self.epoch, self.accuracy, self.loss = epoch, val["accuracy"], val["loss"]
        return True


class Clock:
    """Time in training, and of an epoch."""

    def __init__(self, before: float):
        self._before, self._start = before, time.perf_counter()
        self._lap = self._start

    def total(self) -> float:
        return self._before + time.perf_counter() - self._start

    def lap(self) -> float:
        return max(time.perf_counter() - self._lap, 1e-6)

    def start_lap(self) -> None:
        self._lap = time.perf_counter()


class Journal:
    """Epochs of a run as lines on the screen, rows of results.csv and, when asked for, TensorBoard events.

    Args:
        run: whose metrics.jsonl and results.csv are written.
        epochs: planned.
        tensorboard: write events into the run's folder tensorboard/ too.
    Raises:
        UserError: tensorboard is asked for and not installed.
    """

    def __init__(self, run: Run, *, epochs: int, device: str, tensorboard: bool = False):
        self.run, self.epochs, self.device = run, epochs, device
        self._writer = summary_writer() if tensorboard else None
        self._events, self._has_header = None, False

    def begin_after(self, epoch: int) -> None:
        """Drop what was written of later epochs: a resumed run writes it again."""
        self.run.keep_metrics(epoch)
        with open(self.run.folder / "results.csv", "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(COLUMNS)
            rows.writerows(map(_row, lines := self.run.metrics()))
        if self._writer:
            self.close()
            self._events = self._writer(self.run.folder / "tensorboard", purge_step=len(lines) + 1)

    def write(self, line: dict[str, Any]) -> None:
        """One epoch, as in metrics.jsonl; files count on through the phases of a run, the screen does not."""
        written = self.run.log(**line)
        with open(self.run.folder / "results.csv", "a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(_row(written))
        if self._events:
            for name, value in zip(COLUMNS[1:], _row(line)[1:], strict=True):
                if value != "":
                    self._events.add_scalar(name.replace("_", "/", 1), value, written["epoch"])
            self._events.flush()
        if not self._has_header:
            log.info("%s", header(self.epochs))
            self._has_header = True
        log.info("%s", epoch_line(line, self.epochs, peak_memory(self.device)))
        if "sparsity" in line:
            log.info("%s", word_sparsity(line))

    def close(self) -> None:
        if self._events:
            self._events.close()
            self._events = None


def header(epochs: int) -> str:
    """Two lines above the columns of `epoch_line`."""
    width = 2 * len(str(epochs)) + 3
    over = f"{'':{width}}{'loss':>9}{'':5}{'accuracy %':>12}{'recall %':>12}{'':2}{'learn.':>9}{'images':>8}"
    under = f"{'epoch':>{width}}" + f"{'train':>7}{'val':>7}" + 2 * f"{'train':>7}{'val':>6}" + f"{'rate':>9}{'/s':>8}"
    return f"{over}{'time':>8}{'peak':>6}\n{under}{'left':>8}{'GB':>6}"


def epoch_line(line: dict, epochs: int, memory: int) -> str:
    """One line of at most 80 columns for an epoch of at most 999; see `header`.

    Args:
        memory: the most that was needed so far, in bytes.
    """
    train, val = line["train"], line["val"] or {}
    number = f"{line['epoch']}/{epochs}"
    losses = _loss(train["loss"]) + _loss(val.get("loss"))
    shares = "".join(
        _percent(train[name]).rjust(7) + _percent(val.get(name)).rjust(6) for name in ("accuracy", "recall")
    )
    left = duration(line["seconds"] * (epochs - line["epoch"]))
    speed = f"{line['images_per_second']:,.0f}"
    width = 2 * len(str(epochs)) + 3
    return f"{number:>{width}}{losses}{shares}{line['lr']:>9.2g}{speed:>8}{left:>8}{memory / 1e9:>6.1f}"


def _loss(value: float | None) -> str:
    if value is None:
        return f"{'-':>7}"
    return f"{value:>7.3f}" if value < 100 else f"{value:>7.0f}" if value < 1e5 else f"{value:>7.0e}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def duration(seconds: float) -> str:
    """8 s, 2:05 (minutes), 3 h 07.

    >>> duration(125)
    '2:05'
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60}:{whole % 60:02}" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02}"


def _row(line: dict) -> list:
    figures = [(line[split] or {}).get(name, "") for split in ("train", "val") for name in FIGURES]
    return [line["epoch"], *figures, line["lr"], line["seconds"], line.get("zero_share", "")]


def peak_memory(device: str) -> int:
    """Bytes: of the GPU's memory where there is one, else of the process."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def summary_writer() -> Callable:
    """TensorBoard's writer. Raises UserError where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            "--tensorboard", "TensorBoard is not installed. Write: pip install 'strop[tracking]'; or leave it out."
        ) from None
    return SummaryWriter


@contextmanager
def bar(total: int, start: int) -> Iterator[Callable[..., None]]:
    """A live bar of updates below the lines, on a terminal only.

    Yields a function: called without an argument after an update, or with how many there have been.
    """
    if not sys.stdout.isatty() or not log.handlers:
        yield lambda done=None: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(None), MofNCompleteColumn(), "updates", TimeRemainingColumn())
    with Progress(*columns, transient=True, refresh_per_second=2) as shown:
        task, handler = shown.add_task("training", total=total, completed=start), log.handlers[0]
        stream = handler.setStream(sys.stdout)  # rich's, which writes above the bar

        def show(done: int | None = None) -> None:
            shown.update(task, advance=1 if done is None else None, completed=done)

        try:
            yield show
        finally:
            handler.setStream(stream)
