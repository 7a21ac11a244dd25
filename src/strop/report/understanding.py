"""What `strop info` says on the terminal, from its JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .columns import Column
from .numbers import DASH, percent, significant
from .stored import byte_columns
from .table import draw

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

WIDE = 110
"""From this width on, the table names each layer's class."""
LONGEST = 24
PLACES = 3


@dataclass(frozen=True)
class Understanding:
    """The whole text; rich lays it out when the width of the console is known.

    Example:
        >>> Console(width=80).print(Understanding(Info(subject="resnet18").execute()))
    """

    info: Mapping[str, Any]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        width = options.max_width

        def wrapped(lines: Iterable[str]) -> Iterator[Text]:
            return (Text(_wrap(line, width)) for line in lines)

        yield from wrapped(head(self.info))
        if "stored" in self.info:
            yield Text()
            yield draw(byte_columns(self.info["stored"]), width)
        elif "weights" not in self.info:
            yield Text()
            yield draw(layer_columns(self.info, width), width)
            yield Text()
            yield from wrapped(sums(self.info))
            yield Text()
            yield draw(guideline_columns(self.info["guidelines"]), width)
            yield Text()
            yield from wrapped(changes(self.info["guidelines"]))
        for run, layers in self.info.get("weights", {}).items():
            yield Text()
            yield Text(_wrap(run, width))
            yield draw(weight_columns(layers), width)
        yield from wrapped(f"* {note}" for note in self.info.get("notes", ()))
        for file in self.info.get("files", ()):
            yield Text(file)


def _wrap(line: str, width: int) -> str:
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def head(info: Mapping[str, Any]) -> Iterator[str]:
    """What was looked at, and its two figures."""
    sizes = "x".join(map(str, info["input_size"]))
    name = f"{info['run']} ({info['model']})" if info["run"] else info["model"]
    yield f"{name}: {sizes} pixels, {info['classes']:,} classes"
    yield f"{info['parameters']:,} parameters, {info['macs']:,} MACs"
    yield f"MACs: {info['macs_convention']}"


def layer_columns(info: Mapping[str, Any], width: int) -> list[Column]:
    """One row a layer or block, and the totals."""
    rows = info["layers"]
    total = {name: sum(row[name] for row in rows) for name in ("parameters", "macs", "memory_access_bytes")}
    columns = [Column("layer", "", [*_names(rows), "total"], is_number=False)]
    if width >= WIDE:
        columns.append(Column("class", "", [*(row["kind"] for row in rows), ""], is_number=False))
    columns.append(Column("output", "", [*("x".join(map(str, row["output"])) for row in rows), ""]))
    columns.append(Column("parameters", "", _counts([row["parameters"] for row in rows], total["parameters"])))
    columns.append(Column("MACs", "M", _scaled([row["macs"] for row in rows], info["macs"])))
    moved = [row["memory_access_bytes"] for row in rows]
    columns.append(Column("memory access", "MB", _scaled(moved, total["memory_access_bytes"])))
    if "measured" in info:
        times = [row["time_ms"] for row in rows]
        columns.append(Column("time", "ms", [significant(ms) for ms in [*times, sum(times)]]))
        columns.append(Column("time", "%", [*(percent(row["time_share"]) for row in rows), "100.0"]))
        columns.append(Column("MACs", "%", [*(percent(row["macs"] / (info["macs"] or 1)) for row in rows), "100.0"]))
        return columns
    made = [row["activation_bytes"] for row in rows]
    columns.append(Column("activations", "MB", _scaled(made, sum(made))))
    columns.append(Column("field", "px", [*(_field(row["receptive_field"]) for row in rows), ""]))
    return columns


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Paths; long ones by their end, where that is enough to tell them apart."""
    full = [row["name"] or "(network)" for row in rows]
    short = [name if len(name) <= LONGEST else "…" + name.rpartition(".")[2] for name in full]
    return [end if short.count(end) == 1 else name for name, end in zip(full, short, strict=True)]


def _counts(values: Sequence[int], total: int) -> list[str]:
    return [f"{value:,}" if value else DASH for value in [*values, total]]


def _scaled(values: Sequence[int], total: int) -> list[str]:
    return [_millions(value) for value in [*values, total]]


def _millions(value: int) -> str:
    return DASH if not value else "<0.001" if value < 1000 else significant(value / 1e6)


def _field(field: list[int] | str | None) -> str:
    return f"{max(field):,}" if isinstance(field, list) else field or ""


def sums(info: Mapping[str, Any]) -> Iterator[str]:
    """Memory, freeze groups, and what was measured."""
    memory = info["memory"]
    megabytes = {name: significant(value / 1e6) for name, value in memory.items() if name.endswith("bytes")}
    yield f"memory at batch {memory['batch_size']}, MB, workspaces not counted:"
    yield (
        f"  inference {megabytes['inference_bytes']} = weights {megabytes['weights_bytes']}"
        f" + activations alive at a time {megabytes['activations_alive_bytes']}"
    )
    yield (
        f"  training {megabytes['training_bytes']} = weights x {2 + memory['optimizer_states']}"
        f" + activations kept {megabytes['activations_kept_bytes']}"
    )
    if "total_size" in info:
        size = info["total_size"]
        yield f"  {size['convention']} says, at batch {size['batch_size']}: {size['total']:.2f} {size['unit']}"
    yield "freeze groups: " + ", ".join(f"{name} {count:,}" for name, count in info["stages"].items())
    if "measured" in info:
        measured = info["measured"]
        yield (
            f"timed on {measured['device']}, batch {measured['batch_size']}, {measured['threads']} threads,"
            f" medians of {measured['rounds']} passes"
        )
        if not measured["quiet"]:
            yield f"  the machine is not quiet (p95 is {measured['p95_over_p50']:.1f} times p50): read shares, not ms"
        ranks = {
            name: DASH if value is None else f"{value:.2f}" for name, value in measured["rank_correlation"].items()
        }
        yield (
            f"rank correlation of the layers' time with MACs {ranks['macs']},"
            f" with memory access {ranks['memory_access']}"
        )


def guideline_columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """What breaking each guideline costs, and where most."""
    return [
        Column("guideline", "", [f"{row['guideline']} {row['title']}" for row in rows], is_number=False),
        Column("costs", "MB", [significant(row["bytes"] / 1e6) for row in rows]),
        Column("share", "%", [percent(row["share"]) for row in rows]),
        Column("places", "", [str(len(row["findings"])) for row in rows]),
    ]


def changes(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The dearest places of each guideline, and what to write instead."""
    for row in rows:
        shown = row["findings"][:PLACES]
        for finding, following in zip(shown, [*shown[1:], {"change": None}], strict=False):
            cost = significant(finding["bytes"] / 1e6)
            yield f"{row['guideline']} {finding['where'] or '(network)'}: {finding['what']}, {cost} MB"
            if finding["change"] != following["change"]:
                yield f"   -> {finding['change']}"


def weight_columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """One row a layer: how its weights are spread, what int8 keeps of them, how it responds."""

    def figures(name: str) -> list[str]:
        return [significant(row.get(name)) for row in rows]

    def shares(name: str) -> list[str]:
        return [percent(row[name], 2) for row in rows]

    columns = [
        Column("layer", "", _names(rows), is_number=False),
        Column("mean", "", [f"{row['mean']:.4f}" for row in rows]),
        Column("sd", "", figures("sd")),
        Column("kurtosis", "", figures("kurtosis")),
        Column("> 4 sd", "%", shares("outliers")),
        Column("near 0", "%", shares("near_zero")),
        Column("int8", "bits", figures("int8_bits")),
        Column("int8", "dB", figures("int8_db")),
    ]
    if any(row.get("response_sd") is not None for row in rows):
        columns.append(Column("response sd", "", figures("response_sd")))
    return columns
