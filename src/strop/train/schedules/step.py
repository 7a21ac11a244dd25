"""Drops at certain epochs."""

import math

from . import schedules
from .warmup import rest, rise


@schedules.add("step")
def step(
    epoch: float,
    epochs: float,
    warmup: float,
    *,
    gamma: float = 0.1,
    every: float | None = None,
    milestones: int | float | str | None = None,
) -> float:
    """Fall by a factor at certain epochs, and stay in between.

    gamma**n, n the drops so far: floor(epoch / every), or how many milestones are reached; without either, one drop
    after each third of what follows the warm-up. Epochs count from the beginning, the warm-up included.

    Source: He et al., "Deep Residual Learning", 2015, arXiv:1512.03385, drop by 0.1; Goyal et al. 2017,
    arXiv:1706.02677, at epochs 30, 60 and 80 after a warm-up of 5.

    Args:
        gamma: factor of a drop; in (0, 1].
        every: epochs between drops; > 0.
        milestones: epochs of the drops, joined by slashes: 30/60/80.
    Raises:
        ValueError: an option out of range, or both every and milestones.
    """
    if not 0 < gamma <= 1:
        raise ValueError(f"gamma is {gamma}; it must be above 0 and at most 1.")
    if every is not None and not 0 < every < math.inf:
        raise ValueError(f"every is {every}; it must be above 0.")
    if every is not None and milestones is not None:
        raise ValueError(f"every is {every} and milestones {milestones}; give one of them.")
    places = [] if milestones is None else _read(milestones)
    if epoch < warmup:
        return rise(epoch, epochs, warmup)
    if milestones is not None:
        drops = sum(place <= epoch for place in places)
    else:
        drops = math.floor(3 * rest(epoch, epochs, warmup) if every is None else epoch / every)
    return gamma**drops


def _read(milestones: int | float | str) -> list[float]:
    try:
        places = [float(place) for place in str(milestones).split("/")]
    except ValueError:
        places = [math.nan]
    if not all(0 < place < math.inf for place in places):
        raise ValueError(f"milestones is '{milestones}'; write epochs above 0, joined by slashes: 30/60/80.")
    return places
