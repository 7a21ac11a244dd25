"""Half a wave of a cosine."""

import math

from . import schedules
from .warmup import rest, rise


@schedules.add("cosine")
def cosine(epoch: float, epochs: float, warmup: float, *, final: float = 0.0) -> float:
    """Fall slowly, fast, and slowly again.

    final + (1 - final) (1 + cos(pi u)) / 2, u the share of what follows the warm-up.

    Source: Loshchilov and Hutter, "SGDR", ICLR 2017, arXiv:1608.03983, without restarts.

    Args:
        final: factor at the end; in [0, 1].
    Raises:
        ValueError: final out of range.
    """
    if not 0 <= final <= 1:
        raise ValueError(f"final is {final}; it must be from 0 to 1.")
    if epoch < warmup:
        return rise(epoch, epochs, warmup)
    return final + (1 - final) * (1 + math.cos(math.pi * rest(epoch, epochs, warmup))) / 2
