"""Which layers get how many bits. Plain arithmetic on what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .weights import FLOAT


def least(value: Callable[[int], float], most: int, limit: float) -> int | None:
    """The least k in 0..most with value(k) <= limit, by bisection; None where value(most) is above it.

    `value` should not rise with k. Where it does, the k that is found still holds the limit, and k - 1 does not.
    """
    if value(0) <= limit:
        return 0
    if most == 0 or value(most) > limit:
        return None
    over, under = 0, most
    while under - over > 1:
        middle = (over + under) // 2
        if value(middle) <= limit:
            under = middle
        else:
            over = middle
    return under


def lifts(order: Sequence[str], bits: int) -> list[tuple[str, int]]:
    """What to try in turn when too much is lost, what hurts most first: from below 8 bits to 8, then to float.

    One layer stays quantized: a file without any is no quantized one.
    """
    to_int8 = [(name, 8) for name in order] if bits < 8 else []
    return to_int8 + [(name, FLOAT) for name in order[:-1]]


def hurtful_first(sensitivity: Sequence[Mapping]) -> list[str]:
    """Layers by the rise of the loss when they alone are quantized, the largest first."""
    return [row["layer"] for row in sorted(sensitivity, key=lambda row: -row["loss_rise"])]


def cheap_first(sensitivity: Sequence[Mapping], saved: Mapping[str, int]) -> list[str]:
    """Layers by the loss that a saved byte costs, the cheapest first."""
    return [row["layer"] for row in sorted(sensitivity, key=lambda row: row["loss_rise"] / saved[row["layer"]])]


def give_back(chosen: Sequence[str], saved: Mapping[str, int], room: int) -> list[str]:
    """Those of the chosen that stay at the fewer bits: the dearest ones get their bits back while bytes are left.

    Args:
        chosen: the cheapest first.
        saved: bytes that the fewer bits save, by layer.
        room: bytes under the budget.
    """
    kept = []
    for name in reversed(chosen):
        if saved[name] <= room:
            room -= saved[name]
        else:
            kept.append(name)
    return kept[::-1]
