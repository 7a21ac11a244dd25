"""Where a chart's labels go so that they hide neither points nor each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle in pixels; y grows upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top
        )

    def holds(self, other: Box) -> bool:
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.bottom <= other.bottom
            and other.top <= self.top
        )


def place_labels(
    points: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], frame: Box, *, gap: float
) -> list[tuple[float, float] | None]:
    """The lower left corner of each label, or None where no free place is left.

    Tried in turn around the point, near before far: right above, right below, left above, left below, above, below.

    Args:
        points, sizes: (x, y) and (width, height) in pixels.
        frame: labels stay inside.
        gap: distance from the point in pixels.
    """
    taken = [Box(x - gap / 2, y - gap / 2, x + gap / 2, y + gap / 2) for x, y in points]
    corners: list[tuple[float, float] | None] = []
    for (x, y), (width, height) in zip(points, sizes, strict=True):
        corner = next(
            (
                place
                for place in _around(x, y, width, height, gap)
                if _is_free(Box(*place, place[0] + width, place[1] + height), taken, frame)
            ),
            None,
        )
        corners.append(corner)
        if corner is not None:
            taken.append(Box(*corner, corner[0] + width, corner[1] + height))
    return corners


def _around(x: float, y: float, width: float, height: float, gap: float):
    for far in (0.6, 1.4, 2.4, 3.6):
        d = gap * far
        right, left, middle = x + d, x - d - width, x - width / 2
        above, below = y + d, y - d - height
        yield from (
            (right, above),
            (right, below),
            (left, above),
            (left, below),
            (middle, above + gap),
            (middle, below - gap),
        )


def _is_free(box: Box, taken: Sequence[Box], frame: Box) -> bool:
    return frame.holds(box) and not any(box.overlaps(other) for other in taken)
