"""Energy of a picture, where the processor counts it and the system lets it be read (RAPL under Linux)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ZONES = Path("/sys/class/powercap")
TURNS, SECONDS = 5, 0.2
"""The counter moves about once in a millisecond, so it is read around a fifth of a second of calls."""


class Meter:
    """The energy counters of all processor packages; what else the machine does is in them too.

    Args:
        zones: the folders of the counters, see `find_meter`.
    """

    def __init__(self, zones: list[Path]):
        self.zones = zones
        self.name = ", ".join((zone / "name").read_text().strip() for zone in zones)
        self._ranges = [int((zone / "max_energy_range_uj").read_text()) for zone in zones]

    def read(self) -> list[int]:
        return [int((zone / "energy_uj").read_text()) for zone in self.zones]

    def joules(self, before: list[int], after: list[int]) -> float:
        """What was used between two readings; a counter that ran over began at 0 again."""
        moved = (
            now - then if now >= then else now - then + most
            for then, now, most in zip(before, after, self._ranges, strict=True)
        )
        return sum(moved) / 1e6


def find_meter(root: Path = ZONES) -> Meter | None:
    """The counters of the packages; None where there are none or they may not be read, as for most users."""
    zones = []
    try:
        for zone in sorted(root.glob("intel-rapl:*")):
            if zone.name.count(":") == 1 and (zone / "name").read_text().startswith("package"):
                int((zone / "energy_uj").read_text())
                zones.append(zone)
        return Meter(zones) if zones else None
    except (OSError, ValueError):
        return None


def energy(
    models: Mapping[str, Callable[[Any], Any]], batches: Mapping[str, Any], sizes: Mapping[str, int], meter: Meter
) -> dict[str, dict]:
    """For each name {"mj_per_image", "counter", "n"}: the median over turns, in which all models run one by one.

    Args:
        batches: name to the batch of a call; `sizes` to its number of pictures.
    """
    found: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(TURNS):
        for name, model in models.items():
            before, start, calls = meter.read(), time.perf_counter(), 0
            while not calls or time.perf_counter() - start < SECONDS:
                model(batches[name])
                calls += 1
            found[name].append(meter.joules(before, meter.read()) / (calls * sizes[name]))
    return {
        name: {"mj_per_image": round(1e3 * statistics.median(joules), 4), "counter": meter.name, "n": TURNS}
        for name, joules in found.items()
    }
