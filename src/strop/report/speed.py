"""What a bench found, for the terminal: a row for each model in each runtime, and where the time went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .beside_float import MARK, marked, not_faster
from .columns import Column
from .numbers import DASH, percent, rough, significant
from .verdict import EQUALLY_FAST


def columns(result: Mapping[str, Any]) -> list[Column]:
    """The table of result.json of a bench; on a restless machine one digit with a ~, for more would mean nothing."""
    rows = result["bench"]
    written = significant if is_quiet(result) else rough

    def figures(name: str, title: str, unit: str, *path: str, scale: float = 1, show=written) -> Column:
        values = [_at(row, *path) for row in rows]
        return Column(title, unit, [show(None if v is None else v / scale) for v in values], values=values, name=name)

    latency = figures("latency", "latency p50", "ms", "latency_ms", "p50")
    found = [
        Column("name", "", [row["id"] for row in rows], is_number=False, name="name"),
        replace(latency, cells=[marked(cell, not_faster(row)) for cell, row in zip(latency.cells, rows, strict=True)]),
        figures("p95", "latency p95", "ms", "latency_ms", "p95"),
        figures("images/s", "images/s", _batch(rows), "images_per_second", "value"),
    ]
    if len({row["runtime"] for row in rows}) > 1:
        found.insert(1, Column("runtime", "", [row["runtime"] for row in rows], is_number=False, name="runtime"))
    if len({_at(row, "images_per_second", "batch") for row in rows}) > 1:
        sizes = [_at(row, "images_per_second", "batch") for row in rows]
        found.append(Column("batch", "", [str(size or DASH) for size in sizes], values=sizes, name="batch"))
    if len(rows) > 1:
        found.append(Column("latency ratio", "[95 %]", [_ratio(row) for row in rows], name="ratio"))
    more = [
        figures("cold-start", "cold start", "ms", "cold_start", "ms"),
        figures("memory", "memory", "MB", "peak_memory_bytes", scale=1e6, show=significant),
        figures("energy", "energy", "mJ/image", "energy", "mj_per_image"),
    ]
    return found + [column for column in more if set(column.cells) != {DASH}]


def is_quiet(result: Mapping[str, Any]) -> bool:
    return (result.get("noise") or {}).get("quiet") is not False


def notes(result: Mapping[str, Any]) -> list[str]:
    """Which rows are not told apart from the first, what the machine was, and whether it was quiet."""
    rows, noise, machine = result["bench"], result.get("noise") or {}, result.get("machine") or {}
    found = []
    if not is_quiet(result):
        found.append(
            f"The machine was not quiet: p95 is {noise['p95_over_p50']:.1f} times p50, from block to block of the "
            f"rounds the median moves by {noise.get('drift', 1):.2f} times, and images/s are known to a factor of "
            f"{noise.get('images_per_second', 1):.2f}. Times are given to one digit; the ratios are of rounds that "
            "were timed in turn."
        )
    alike = [row for row in rows[1:] if _at(row, "ratio") and _is_alike(row["ratio"])]
    if alike:
        found.append(f"Not told apart from {_name(rows[0], rows)}: {', '.join(_name(row, rows) for row in alike)}.")
    found += [
        f"{_name(row, rows)} ({MARK}) is not faster than float: {said}." for row in rows if (said := not_faster(row))
    ]
    threads = f"{machine['threads']} thread{'s' if machine['threads'] != 1 else ''}" if "threads" in machine else ""
    words = [", ".join(dict.fromkeys(row["runtime"] for row in rows)), threads, str(machine.get("processor", ""))]
    words.append(f"{machine['cores']} cores" if machine.get("cores") else "")
    words.append(f"load {machine['load']:.1f} before it" if machine.get("load") is not None else "")
    found.append("; ".join(word for word in words if word) + ".")
    return found


def profiles(result: Mapping[str, Any]) -> Iterator[tuple[str, list[Column]]]:
    """For each row with a profile its title and the table of its slowest nodes; the runtime counts whole us."""
    quiet = is_quiet(result)
    for row in result["bench"]:
        nodes = row.get("profile")
        if nodes:
            yield (
                f"{row['id']}: the {len(nodes)} slowest nodes",
                [
                    Column("layer", "", [node["layer"] for node in nodes], is_number=False, name="name"),
                    Column("operator", "", [node["operator"] for node in nodes], is_number=False, name="operator"),
                    Column("time", "ms", [f"{n['ms']:.3f}" if quiet else rough(n["ms"]) for n in nodes], name="ms"),
                    Column("share", "%", [percent(node["share"], 0) for node in nodes], name="share"),
                ],
            )


def _at(row: Mapping[str, Any], *path: str) -> Any:
    found: Any = row
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _batch(rows: Sequence[Mapping[str, Any]]) -> str:
    batches = {_at(row, "images_per_second", "batch") for row in rows}
    return f"batch {batches.pop()}" if len(batches) == 1 else "best"


def _ratio(row: Mapping[str, Any]) -> str:
    ratio = row.get("ratio")
    if not ratio:
        return DASH
    low, high = ratio["latency_interval"]
    return f"{ratio['latency']:.2f}" + (f" [{low:.2f}, {high:.2f}]" if low < high else "")


def _is_alike(ratio: Mapping[str, Any]) -> bool:
    """The interval holds 1, or the ratio is so close to it that the same file, opened twice, may be as far apart."""
    low, high = ratio["latency_interval"]
    return low <= 1 <= high or 1 / EQUALLY_FAST < ratio["latency"] < EQUALLY_FAST


def _name(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    several = len({other["runtime"] for other in rows}) > 1
    return f"{row['id']} ({row['runtime']})" if several else str(row["id"])
