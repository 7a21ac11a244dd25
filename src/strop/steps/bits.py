"""Bits of each layer: what it costs to round each alone, and the choice that holds a drop or a budget of bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import GateFailed
from ..quantize import search
from ..quantize.weights import BITS, FLOAT
from .quantizing import Judge, Writer
from .step import log

JUDGED = 1024  # validation pictures, the same number a class, on which single layers are tried
SHOWN = 3  # names of layers on a line of the log
SizeOf = Callable[[Mapping[str, int]], int]


def choose_bits(
    step: Any, writer: Writer, judge: Judge | None, parent_bytes: int, *, ways: str, size_of: SizeOf | None = None
) -> tuple[dict[str, int], dict]:
    """Bits of each layer as a config of `strop quantize` asks for, and what they were chosen by, for result.json.

    Args:
        writer: with ranges; it writes the files that are tried.
        judge: None where nothing is to be tried.
        ways, size_of: as in `hold_drop` and `fit_bytes`.
    """
    usual = BITS.get(step.scheme, 8)
    if not step.judges_layers():
        return writer.uniform(usual), {}
    fewer = judge.fewer(JUDGED, step.seed)
    log.info("  quantizing each of %d layers alone, on %s pictures: what it costs", len(writer.layers), f"{fewer.n:,}")
    rows = measure_sensitivity(writer, fewer, BITS.get(step.scheme, 4))
    about: dict = {"sensitivity": rows}
    worst = max(rows, key=lambda row: row["loss_rise"])
    log.info("  most by %s: %.2f points, %.3f nats", worst["layer"], 100 * worst["accuracy_drop"], worst["loss_rise"])
    if step.scheme == "mixed":
        limit = step.bytes.limit(parent_bytes)
        bits = fit_bytes(writer, rows, limit, size_of)
        about |= {"budget": step.bytes.text, "limit": limit}
        log.info("  %d of %d layers in 4 bits", list(bits.values()).count(4), len(bits))
    elif step.max_drop is not None:
        bits = hold_drop(writer, judge, rows, usual, step.max_drop, ways=ways)
        about |= {"max_drop": step.max_drop / 100, "kept": kept_in(bits, usual)}
        if not any(about["kept"].values()):
            log.info("  all of them can stay in %d bits", usual)
        for word, names in about["kept"].items():
            if names:
                more = ", ..." if len(names) > SHOWN else ""
                log.info("  kept in %s: %d of %d layers", word, len(names), len(bits))
                log.info("    %s%s", ", ".join(names[:SHOWN]), more)
    else:
        bits = writer.uniform(usual)
    return bits, about


def measure_sensitivity(writer: Writer, judge: Judge, bits: int) -> list[dict]:
    """What it costs to quantize each layer alone, in the order of the graph."""
    rows = []
    for layer in writer.layers:
        scores = judge.score(writer.write({layer.name: bits}, only=layer))
        rows.append(
            {
                "layer": layer.name,
                "bits": bits,
                "n": judge.n,
                **scores,
                "accuracy_drop": judge.drop(scores),
                "loss_rise": scores["loss"] - judge.float["loss"],
            }
        )
    return rows


def hold_drop(
    writer: Writer, judge: Judge, sensitivity: list[dict], bits: int, max_drop: float, *, ways: str
) -> dict[str, int]:
    """Bits of each layer: as few layers in more bits as hold the drop, those that hurt most first.

    Args:
        max_drop: accuracy that may be lost, in points.
        ways: what to try where it can't be held.
    Raises:
        GateFailed: it is lost even with all layers but one in float.
    """
    order = search.lifts(search.hurtful_first(sensitivity), bits)
    lost: dict[int, float] = {}

    def after(count: int) -> float:
        chosen = writer.uniform(bits) | dict(order[:count])
        lost[count] = 100 * judge.drop(judge.score(writer.write(chosen)))
        return lost[count]

    count = search.least(after, len(order), max_drop + 1e-9)
    if count is None:
        raise GateFailed(
            f"--max-drop {max_drop:g}: not held. On {judge.n} validation pictures {lost[0]:.2f} points are lost "
            f"with every layer quantized, and {lost[len(order)]:.2f} with all but one in float. "
            f"Allow more, or try {ways}."
        )
    return writer.uniform(bits) | dict(order[:count])


def fit_bytes(writer: Writer, sensitivity: list[dict], limit: int, size_of: SizeOf | None = None) -> dict[str, int]:
    """Bits of each layer, 8 or 4, so that the file is at or under the limit: the cheapest layers go to 4 first.

    Args:
        size_of: bytes of a file by the bits of its layers; by default of the one that the writer writes.
    Raises:
        GateFailed: the file is too large even with 4 bits everywhere.
    """
    saved = {layer.name: layer.size // 2 for layer in writer.layers}
    order = search.cheap_first(sensitivity, saved)
    size_of = size_of or (lambda bits: writer.write(bits).stat().st_size)
    size: dict[int, int] = {}

    def after(count: int) -> int:
        size[count] = size_of(writer.uniform(8) | dict.fromkeys(order[:count], 4))
        return size[count]

    count = search.least(after, len(order), limit)
    if count is None:
        raise GateFailed(
            f"--bytes: the budget of {limit:,} bytes can't be met: {size[0]:,} are needed with 8 bits and "
            f"{size[len(order)]:,} with 4 bits in every layer. Give a larger budget, or prune first."
        )
    kept = search.give_back(order[:count], saved, limit - size[count])
    return writer.uniform(8) | dict.fromkeys(kept, 4)


def kept_in(bits: Mapping[str, int], usual: int) -> dict[str, list[str]]:
    """Names of the layers that got more bits than the scheme's."""
    names = {8: "int8", FLOAT: "float"}
    return {
        word: [layer for layer, given in bits.items() if given == number]
        for number, word in names.items()
        if number > usual
    }
