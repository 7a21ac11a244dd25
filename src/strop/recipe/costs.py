"""What a planned step takes: seconds and bytes, by what its network computes and the rates of a machine."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..steps.fields import usual_batch
from ..steps.options import TrainingOptions
from .seen import Seen

if TYPE_CHECKING:
    from .counts import Counts, Network

BASE_BYTES = 400_000_000  # Python with torch and its libraries
EXPORT_SECONDS = 5.0
CALIBRATORS = 4  # passes over validation pictures that quantize makes
STATES = {"sgd": 1, "adam": 2, "adamw": 2}


@dataclass
class Known:
    """What later steps need to know of an earlier one.

    Attributes:
        network: None where it was pruned, so that it can't be built by name.
        epochs: that its weights are trained for, along the line of its parents.
        parent: what that one's network costs, where it has one.
    """

    seen: Seen
    counts: Counts
    network: Network | None = None
    at_most: bool = False
    epochs: int = 0
    parent: Counts | None = None


def trains(step: Any) -> bool:
    """Whether the step has epochs; quantize has them where it trains while it rounds."""
    return isinstance(step, TrainingOptions) and step.epochs is not None


def precision_of(step: Any, about: Known) -> str:
    """What it computes in, where auto is what its network takes."""
    chosen = getattr(step, "precision", "auto")
    return about.counts.precision if chosen == "auto" else chosen


def cost(step: Any, about: Known, known: dict[str, Known], rates: dict) -> tuple[float, int]:
    """Seconds and bytes of one step."""
    counts, seen = about.counts, about.seen
    if trains(step):
        return _training(step, about, known, rates)
    from .profile import seconds_of

    pictures = {
        "evaluate": seen.count(getattr(step, "split", None) or "val"),
        "export": seen.test or seen.val,
        "quantize": 2 * getattr(step, "images", 0) + CALIBRATORS * seen.val,
    }.get(step.verb, seen.val)
    seconds = seconds_of(counts, rates, pictures=pictures, precision="fp32")
    seconds += EXPORT_SECONDS if step.verb in ("export", "quantize") else 0.0
    return seconds, BASE_BYTES + counts.weights + 64 * counts.alive


def epochs_of(step: Any) -> int:
    """Of all phases, folds or rounds together."""
    phases = getattr(step, "phases", ())
    epochs = sum(phase["epochs"] for phase in phases) if phases else step.epochs
    return epochs * (getattr(step, "folds", None) or getattr(step, "rotate", None) or 1)


def _training(
    step: Any, about: Known, known: dict[str, Known], rates: dict, epochs: int | None = None
) -> tuple[float, int]:
    """Of `epochs` epochs, by default those of the step."""
    from .counts import fitted
    from .profile import seconds_of

    counts, seen, precision = about.counts, about.seen, precision_of(step, about)
    batch = step.batch_size if isinstance(step.batch_size, int) else usual_batch(seen.train, step.accumulate)
    epochs = (epochs or epochs_of(step)) * (2 if step.sam else 1)
    updates = math.ceil(seen.train / batch)
    seconds = seconds_of(counts, rates, pictures=seen.train, updates=updates, precision=precision)
    seconds += seconds_of(counts, rates, pictures=seen.val, precision=precision)
    states = STATES.get(step.optimizer.name, 2)
    need = fitted(counts, batch=math.ceil(batch / step.accumulate), states=states)
    names = step.teacher or ([step.parent] if step.verb in ("prune", "quantize") else [])
    for teacher in [known[name] for name in names if name in known] if step.distill else []:
        seconds += seconds_of(teacher.counts, rates, pictures=seen.train, precision=precision)
        need += teacher.counts.weights
    return epochs * seconds, BASE_BYTES + need


def control_cost(step: Any, about: Known, known: dict[str, Known], rates: dict) -> tuple[float, int]:
    """The parent for as long; of a pruned network also its shape from scratch, for all epochs that are in it."""
    longer, need = _training(step, dataclasses.replace(about, counts=about.parent), known, rates)
    if step.verb != "prune":
        return longer, need
    scratch, _ = _training(step, about, known, rates, epochs=about.epochs)
    return longer + scratch, need


def bench_seconds(counts: Counts, rounds: int, rates: dict) -> float:
    """Of one model: single pictures, and batches of 64."""
    from .profile import seconds_of

    return seconds_of(counts, rates, pictures=rounds + 64 * 20, precision="fp32")
