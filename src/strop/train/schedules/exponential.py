"""The same share less in every epoch."""

from . import schedules
from .warmup import rest, rise


@schedules.add("exponential")
def exponential(
    epoch: float, epochs: float, warmup: float, *, gamma: float | None = None, final: float = 0.01
) -> float:
    """Fall by the same factor in every epoch, in small steps.

    gamma**(epoch - warmup); without gamma, final**u, u the share of what follows the warm-up.

    Args:
        gamma: factor an epoch; in (0, 1]. Where it is given, final is not used.
        final: factor at the end; in (0, 1].
    Raises:
        ValueError: an option out of range.
    """
    for name, value in (("gamma", gamma), ("final", final)):
        if value is not None and not 0 < value <= 1:
            raise ValueError(f"{name} is {value}; it must be above 0 and at most 1.")
    if epoch < warmup:
        return rise(epoch, epochs, warmup)
    return final ** rest(epoch, epochs, warmup) if gamma is None else gamma ** (epoch - warmup)
