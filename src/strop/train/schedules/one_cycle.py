"""Up once, and down for the rest."""

import math

from . import schedules
from .warmup import rest


@schedules.add("one-cycle")
def one_cycle(epoch: float, epochs: float, warmup: float, *, div: float = 25.0, final_div: float = 1e4) -> float:
    """Rise to the peak during the warm-up, then fall far below the start, both along half a cosine.

    From 1 / div to 1 over the warm-up, from there to 1 / (div final_div) over the rest.

    Source: Smith and Topin, "Super-Convergence", 2017, arXiv:1708.07120, in the form of torch's OneCycleLR, whose
    pct_start is the share of the warm-up here. Unlike both: the momentum stays.

    Args:
        div: peak over start; >= 1.
        final_div: start over end; >= 1.
    Raises:
        ValueError: an option below 1.
    """
    for name, value in (("div", div), ("final_div", final_div)):
        if not 1 <= value < math.inf:
            raise ValueError(f"{name} is {value}; it must be at least 1.")
    if epoch < warmup:
        return _between(1 / div, 1.0, epoch / warmup)
    return _between(1.0, 1 / (div * final_div), rest(epoch, epochs, warmup))


def _between(start: float, end: float, u: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * u)) / 2
