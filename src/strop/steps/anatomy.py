"""What a network is made of: layers, totals, memory, freeze groups, guidelines, and the clock beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..errors import UserError
from ..measure import layers as rows
from ..measure.bench import QUIET
from ..measure.complexity import MACS_CONVENTION
from ..measure.conventions import THOP, thop_macs, total_size
from ..measure.graph import boxes
from ..measure.guidelines import guidelines
from ..measure.recording import record
from ..measure.timing import against_clock, time_layers
from ..models.stages import count_stages, stage_of_tensors
from ..report.diagram import draw_diagram
from ..runs import write_whole
from ..train.precision import resolve_device

if TYPE_CHECKING:
    from .info import Info, Subject

REFUSALS = (RuntimeError, NotImplementedError, ValueError, AssertionError, IndexError)


def build_to_look_at(
    make: Callable[[], nn.Module], name: str, input_size: tuple[int, int, int], *, to_run: bool
) -> nn.Module:
    """A network without memory for its tensors where shapes are enough, else an ordinary one.

    Raises:
        UserError: it can't be built for such a picture.
    """
    if not to_run:
        try:
            with torch.device("meta"):
                net = make()
            record(net, input_size)
            return net
        except REFUSALS:
            pass  # it computes with values; or it refuses the picture, and will do so again
    try:
        return make()
    except REFUSALS as error:
        raise _refusal(name, input_size, error) from error


def describe(subject: Subject, wanted: Info) -> dict[str, Any]:
    """All that is known of a network's structure, as JSON values."""
    net, size = subject.net, subject.input_size
    try:
        recording = record(net, size)
        memory = rows.memory(net, recording, size, wanted.batch_size)
    except REFUSALS as error:
        raise _refusal(subject.name, size, error) from error
    leaves = rows.layers_of(net, recording)
    if wanted.convention == "thop":
        leaves = rows.recount(leaves, thop_macs(net, recording))
    blocks = rows.blocks(net)
    names = [] if wanted.all else blocks if wanted.depth is None else rows.at_depth(net, wanted.depth)
    shown = rows.fold(leaves, recording, net, names)
    inside = set(blocks)
    sizes = {}
    if wanted.convention in ("torchsummary", "torchinfo"):
        sizes = {"total_size": total_size(wanted.convention, net, recording, size, wanted.batch_size)}
    found = {
        "parameters": sum(layer.parameters for layer in leaves),
        "macs": sum(layer.macs for layer in leaves),
        "macs_convention": THOP if wanted.convention == "thop" else MACS_CONVENTION,
        "memory_access_bytes": sum(layer.memory_access_bytes for layer in leaves),
        "memory_access_convention": rows.MEMORY_ACCESS,
        "activation_bytes": sum(layer.activation_bytes for layer in leaves),
        "memory": memory,
        **sizes,
        "stages": count_stages(net, subject.classes),
        **_timed(subject, wanted, leaves, shown, set(names)),
        "guidelines": guidelines(recording, lambda path: rows.outermost(path, inside)),
    }
    if wanted.diagram is not None:
        folded = rows.fold(leaves, recording, net, blocks)
        drawn = boxes(recording, folded, lambda path: rows.outermost(path, inside), _stages_of(subject, folded))
        about = {"model": subject.name, "input_size": size} | found
        write_whole(Path(wanted.diagram), draw_diagram(about, [box.describe() for box in drawn]).encode())
        found["files"] = [wanted.diagram]
    return found


def _stages_of(subject: Subject, shown: list[rows.Layer]) -> dict[str, str]:
    """The stage of each row that has parameters."""
    places = stage_of_tensors(subject.net, subject.classes)
    found = {}
    for row in shown:
        inside = [stage for name, stage in places.items() if row.name and name.startswith(f"{row.name}.")]
        if inside:
            found[row.name] = inside[0]
    return found


def _refusal(name: str, input_size: tuple[int, int, int], error: Exception) -> UserError:
    said = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
    return UserError("--input-size", f"{name} refuses a picture of {'x'.join(map(str, input_size))}: {said}")


def _timed(subject: Subject, wanted: Info, leaves: list, shown: list, names: set[str]) -> dict[str, Any]:
    """The rows, with the time that each took where that was asked for."""
    lines = [layer.describe() for layer in shown]
    if not wanted.measure:
        return {"layers": lines}
    device = resolve_device(wanted.device)
    milliseconds, restless = time_layers(
        subject.net, subject.input_size, device=device, batch=wanted.batch_size, rounds=wanted.rounds
    )
    spent: dict[str, float] = dict.fromkeys((line["name"] for line in lines), 0.0)
    for layer in leaves:
        spent[rows.outermost(layer.name, names)] += milliseconds.get(layer.name, 0.0)
    total = sum(spent.values())
    for line in lines:
        line |= {"time_ms": round(spent[line["name"]], 5), "time_share": round(spent[line["name"]] / total, 6)}
    measured = {
        "device": device,
        "batch_size": wanted.batch_size,
        "rounds": wanted.rounds,
        "threads": torch.get_num_threads(),
        "total_ms": round(total, 4),
        "p95_over_p50": round(restless, 3),
        "quiet": restless < QUIET,
        "rank_correlation": against_clock(leaves, milliseconds),
    }
    return {"layers": lines, "measured": measured}
