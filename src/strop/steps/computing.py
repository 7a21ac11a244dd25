"""How a training computes: layout of the pictures, compiled or not, how many at a time. Resolved once into run.json."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
import torch.nn as nn

from ..data.load import Loader, Pictures
from ..errors import Interrupted, RunFailed
from ..launch import here
from ..models.classifier import Classifier
from ..runs import Run
from ..train.memory import MOST, is_out_of_memory, largest_batch, make_fits
from .fields import FEW_UPDATES, USUAL_BATCH, usual_batch
from .options import TrainingOptions
from .start import resolve
from .step import log

EVALUATION_BATCH = 256
COMPILER = "inductor"
Precision = Callable[[], AbstractContextManager]


def evaluation_loader(pictures: Pictures) -> Loader:
    """All pictures once, in their order and as they are."""
    return Loader(pictures, batch_size=EVALUATION_BATCH, seed=0, shuffle=False)


def lay_out(model: Classifier, run: Run, wanted: str) -> None:
    """Channels last, or not; `auto` is channels last where the network convolves."""
    convolves = any(parameter.ndim == 4 for parameter in model.net.parameters())
    chosen = resolve(run, "channels_last", convolves if wanted == "auto" else wanted == "true")
    model.memory_format = torch.channels_last if chosen else torch.contiguous_format
    model.to(memory_format=model.memory_format)


def resolve_batch_size(
    run: Run, options: TrainingOptions, objective: nn.Module, shape: tuple[int, int, int], precision: Precision, n: int
) -> TrainingOptions:
    """The options with a number for the batch, for at least 8 updates an epoch of `n` pictures if it is ours to choose.

    `auto` is what fits into memory, none is `usual_batch`.
    """
    if isinstance(options.batch_size, int):
        updates = -(-n // options.batch_size)
        if updates < FEW_UPDATES:
            log.warning("  only %d update%s an epoch: try a smaller --batch-size", updates, "s" * (updates > 1))
        return options
    name = run.naming("batch_size")
    chosen = run.record.get("resolved", {}).get(name)
    if chosen is None and options.batch_size == "auto":
        most = max(2, min(MOST, n // FEW_UPDATES))
        found = here().from_first(lambda: largest_batch(make_fits(objective, shape, precision), most))
        chosen = resolve(run, name, found)
    elif chosen is None:
        chosen = resolve(run, name, usual_batch(n, (options.virtual_ranks or here().size) * options.accumulate))
    if chosen != USUAL_BATCH:
        log.info("  batch size %d", chosen)
    return options.model_copy(update={"batch_size": chosen})


@contextmanager
def compiled(net: nn.Module, wanted: bool) -> Iterator[None]:
    """Within the block the network runs through torch.compile; its state and its names stay as they are."""
    if wanted:
        net.compile(backend=COMPILER)
    try:
        yield
    except torch._dynamo.exc.BackendCompilerFailed as error:
        if isinstance(error.inner_exception, Interrupted):  # a signal while it compiled
            raise error.inner_exception from None
        reason = str(error).strip().splitlines()[0]
        raise RunFailed(f"torch.compile can't compile this network here ({reason}). Leave --compile out.") from error
    finally:
        net._compiled_call_impl = None


@contextmanager
def naming_what_fits(
    objective: nn.Module, options: TrainingOptions, shape: tuple[int, int, int], precision: Precision
) -> Iterator[None]:
    """Out of memory is said with a batch size that fits."""
    failed = False
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's own are RuntimeErrors
        if not is_out_of_memory(error):
            raise
        failed = True
    if failed:  # outside of the handler, which keeps everything alive that filled the memory
        fits = largest_batch(make_fits(objective, shape, precision), max(2, options.batch_size // 2))
        chunks = -(-options.batch_size // fits)
        raise RunFailed(
            f"out of memory at batch size {options.batch_size}. --batch-size {fits} fits; "
            f"--accumulate {chunks} computes the same batch in chunks of that size."
        )
