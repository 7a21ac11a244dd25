"""How figures are written for people, and which points no other point beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from unicodedata import east_asian_width

DASH = "-"


def significant(value: float | None, digits: int = 3) -> str:
    """At least `digits` significant digits, never an exponent; thousands are grouped.

    >>> significant(0.0041), significant(11.17281), significant(9103.4), significant(None)
    ('0.00410', '11.2', '9,103', '-')
    """
    if value is None:
        return DASH
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def percent(value: float | None, decimals: int = 1) -> str:
    """A share in [0, 1] as a bare percentage.

    >>> percent(0.874)
    '87.4'
    """
    return DASH if value is None else f"{100 * value:.{decimals}f}"


def decimals_for(n: int | None) -> int:
    """Digits of a percentage that `n` pictures can carry.

    Below 5,000 pictures the 95 % interval is wider than a point, so a second digit would be noise.
    """
    return 2 if n and n >= 5000 else 1


def times(ratio: float) -> str:
    """A ratio: '0.98', '1.1', '6.2', '45'."""
    if ratio >= 10:
        return f"{ratio:,.0f}"
    return f"{ratio:.1f}" if ratio >= 1.05 else f"{ratio:.2f}"


def size(input_size: Sequence[int]) -> str:
    """Channels, height, width as the usual height x width x channels.

    >>> size([1, 28, 28])
    '28x28x1'
    """
    return "x".join(str(n) for n in (*input_size[1:], *input_size[:1])) or DASH


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of (cost, gain) points that no other point beats, in order of cost.

    A point is beaten by one that costs no more and gains no less, and is better in at least one.

    >>> pareto([(1, 0.8), (2, 0.7), (3, 0.9)])
    [0, 2]
    """
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1]))
    front: list[int] = []
    for i in order:
        if not front or points[i][1] > points[front[-1]][1] or points[i] == points[front[-1]]:
            front.append(i)
    return front


def clock(seconds: float | None, decimals: int = 0) -> str:
    """Hours, minutes and seconds.

    >>> clock(1457.98), clock(1457.98, 1)
    ('0:24:18', '0:24:18.0')
    """
    if seconds is None:
        return DASH
    minutes, rest = divmod(round(seconds, decimals), 60)
    return f"{minutes // 60:.0f}:{minutes % 60:02.0f}:{rest:0{2 + bool(decimals) + decimals}.{decimals}f}"


def rough(value: float | None) -> str:
    """One digit, for figures of which the others mean nothing.

    >>> rough(0.0257), rough(12678)
    ('~0.03', '~10,000')
    """
    if not value:
        return DASH if value is None else "0"
    rounded = round(value, -math.floor(math.log10(abs(value))))
    return f"~{rounded:,.{max(0, -math.floor(math.log10(abs(rounded))))}f}"


def names(ids: Sequence[str], show: int = 6) -> str:
    """'a, b and c'; of more than seven the first six and how many more."""
    shown = [*ids[:show], f"{len(ids) - show} more"] if len(ids) > show + 1 else list(ids)
    *most, last = shown
    return f"{', '.join(most)} and {last}" if most else last


def shorten(name: str, most: int) -> str:
    """The beginning of a name that is wider than `most` Latin letters; Chinese ones are as wide as two.

    >>> shorten("trouser", 6), shorten("很长的类别名称", 6)
    ('trous…', '很长…')
    """
    widths = list(accumulate(2 if east_asian_width(letter) in "WF" else 1 for letter in name))
    if not name or widths[-1] <= most:
        return name
    return name[: sum(width < most for width in widths)] + "…"
