"""One row for every model that was made, joined with what was measured on it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import UserError
from . import conditions, fronts, measurements, notes, runtimes
from .folders import JOINED_VERBS, MODEL_VERBS, Folder, Unusable, look_around, read_folder, runs_in

if TYPE_CHECKING:
    from ..measure.paired import Against


@dataclass(frozen=True, kw_only=True)
class Row:
    """A model and its figures, in base units: accuracy in [0, 1], bytes, ms, MACs.

    `file`, `bytes` and `hash` are those of the file that ships: the exported one where there is one.
    `measured` is an entry of result.json, unchanged, and `is_shipped` says whether it was measured on that file;
    `unranked` is the row as it was, where it was measured on other pictures than the rest of the table.
    `entries` are all measurements that were found, `predictions` the file of that one's predictions. `latency` is a row
    of one bench, or None; `against` the verdict on this row beside a baseline, see `baseline.compare_with`.
    `measured_in` and `timed_in` hold by runtime what was measured and timed in each, see `runtimes.within`.
    """

    id: str
    folder: Path
    verb: str
    model: str
    trained: list[str]
    input_size: list[int]
    parameters: int | None
    macs: int | None
    file: str
    bytes: int
    hash: str
    hashes: frozenset[str]
    parents: dict[str, dict]
    scheme: str | None = None
    export: str | None = None
    entries: tuple[measurements.Entry, ...] = field(default=(), repr=False)
    measured: dict[str, Any] | None = None
    unranked: Row | None = field(default=None, repr=False)
    is_shipped: bool = True
    predictions: Path | None = None
    against: Against | None = None
    latency: dict[str, Any] | None = None
    measured_in: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    timed_in: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    training: dict[str, Any] | None = None
    controls: dict[str, Any] | None = None
    size_parts: dict[str, Any] | None = None
    metrics: Path | None = None
    command: str | None = None
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def accuracy(self) -> float | None:
        return self.measured["accuracy"] if self.measured else None

    @property
    def interval(self) -> tuple[float, float] | None:
        found = (self.measured or {}).get("accuracy_interval")
        return (found[0], found[1]) if found else None

    @property
    def p50(self) -> float | None:
        return self.latency["latency_ms"]["p50"] if self.latency else None

    @property
    def p95(self) -> float | None:
        return self.latency["latency_ms"]["p95"] if self.latency else None

    @property
    def images_per_second(self) -> float | None:
        return ((self.latency or {}).get("images_per_second") or {}).get("value")

    @property
    def is_quiet(self) -> bool:
        """Whether the machine was quiet while the latency was measured."""
        return (self.latency or {}).get("quiet") is not False

    def timed(self, *names: str) -> Any:
        """A figure of the bench's row by its path in result.json, e.g. ("cold_start", "ms"); None where it has none."""
        found: Any = self.latency
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    def trained_for(self, name: str) -> float | None:
        """A figure of `training`, e.g. `min_loss`."""
        found = (self.training or {}).get(name)
        return found if isinstance(found, int | float) else None

    def total_size(self, batch: int) -> float | None:
        """Bytes of input, all outputs forward and backward, and parameters, as torchsummary counts; None if unknown."""
        parts = self.size_parts or {}
        each = [parts.get(name) for name in ("input_bytes", "forward_backward_bytes", "parameter_bytes")]
        if not all(isinstance(part, int) for part in each):
            return None
        return batch * (each[0] + each[1]) + each[2]

    def figure(self, name: str) -> float | None:
        """A figure of the measurement by its name in result.json, e.g. `macro_f1`."""
        return (self.measured or {}).get(name)

    def parent(self, role: str, rows: Iterable[Row]) -> Row | None:
        """The row that is this row's `role`, found by hash; None where it is not among `rows`."""
        wanted = self.parents.get(role, {}).get("hash")
        return next((row for row in rows if wanted in row.hashes and row is not self), None)


class Collected(NamedTuple):
    """Rows in the order given, and what a reader must know about them."""

    rows: list[Row]
    notes: list[str]


def collect(
    folders: Sequence[str | os.PathLike],
    *,
    split: str | None = None,
    rank: Callable[[list[Row]], tuple[list[Row], list[str]]] | None = None,
) -> Collected:
    """Rows of run folders, joined by hash with exports, evaluations and one bench.

    A folder that is no run itself stands for the runs in it. Folders beside the given ones are looked through for
    measurements; they never add rows.

    Args:
        split: test or val; default: the one that most rows were measured on, test where there are two.
        rank: what to do where accuracies are of different pictures, as `ranking.rank_alike`; default: say it.
    Raises:
        UserError: not one of the folders holds a finished model.

    Example:
        >>> rows, notes = collect(["runs/student", "runs/small"])
        >>> rows[1].parent("parent", rows).id
        'student'
    """
    given, skipped = _read_given(folders)
    around = look_around([folder.path for folder in given], [folder.path for folder in given])
    joined = [f for f in given if f.verb in JOINED_VERBS] + _newest_first(around)
    rows = _make_rows([f for f in given if f.verb in MODEL_VERBS], [f for f in joined if f.verb == "export"])
    if not rows:
        reasons = skipped or ["none of the folders holds a model. Give folders of train, prune, quantize or export."]
        raise UserError("runs", *reasons)
    rows = _name_apart(rows)
    rows = _add_accuracy(rows, [f for f in joined if f.verb == "evaluate"], split)
    rows, about_rank = rank(rows) if rank else (rows, [])
    rows, about_bench = _add_latency(rows, [f for f in joined if f.verb == "bench"])
    found = notes.differences(rows) + conditions.differences(rows)
    legend = [fronts.LEGEND] if fronts.fronts(rows) else []
    return Collected(rows, skipped + about_rank + found + about_bench + notes.findings(rows) + legend)


def _read_given(folders: Sequence[str | os.PathLike]) -> tuple[list[Folder], list[str]]:
    given, skipped = [], []
    for path in dict.fromkeys(path.resolve() for folder in folders for path in runs_in(Path(folder))):
        try:
            folder = read_folder(path)
        except Unusable as reason:
            skipped.append(f"{path.name} is skipped: {reason}.")
            continue
        if folder.verb in MODEL_VERBS or folder.verb in JOINED_VERBS:
            given.append(folder)
        else:
            skipped.append(f"{path.name} is skipped: a folder of {folder.verb} holds no model.")
    return given, skipped


def _newest_first(folders: list[Folder]) -> list[Folder]:
    return sorted(folders, key=lambda folder: folder.started, reverse=True)


def _make_rows(models: list[Folder], exports: list[Folder]) -> list[Row]:
    """A given run takes its export in; an export whose run was not given stands for itself."""
    by_parent: dict[str | None, Folder] = {}
    for export in exports:
        by_parent.setdefault(export.parent_hash, export)
    taken = {f.path: by_parent.get(f.result["model"]["hash"]) for f in models if f.verb != "export"}
    used = {export.path for export in taken.values() if export is not None}
    return [_make_row(f, taken.get(f.path)) for f in models if f.path not in used]


def _make_row(folder: Folder, export: Folder | None) -> Row:
    model = folder.result["model"]
    ships = (export or folder).result["model"]
    hashes = {model["hash"], ships["hash"]}
    if folder.verb == "export" and folder.parent_hash:
        hashes.add(folder.parent_hash)
    metrics = folder.path / "metrics.jsonl"
    record = folder.record
    return Row(
        id=record["id"],
        folder=folder.path,
        verb=folder.verb,
        model=model["name"],
        trained=list(model["trained"]),
        input_size=list(model["input_size"]),
        parameters=model.get("parameters"),
        macs=model.get("macs"),
        file=ships["file"],
        bytes=ships["bytes"],
        hash=ships["hash"],
        hashes=frozenset(hashes),
        parents=record.get("parents") or {},
        scheme=(folder.result.get("quantization") or {}).get("scheme"),
        export=export.record["id"] if export else None,
        entries=tuple(measurements.own_entries(folder, export)),
        training=folder.result.get("training"),
        controls=(folder.result.get("pruning") or {}).get("controls"),
        size_parts=model.get("total_size"),
        metrics=metrics if metrics.is_file() else None,
        command=record.get("command"),
        machine=record.get("machine") or {},
        versions=record.get("versions") or {},
    )


def _name_apart(rows: list[Row]) -> list[Row]:
    """Rows with the same id are called by folder, then by number, so that notes are clear."""
    for rename in (lambda row, _: f"{row.folder.parent.name}/{row.folder.name}", lambda row, n: f"{row.id} ({n})"):
        count = Counter(row.id for row in rows)
        rows = [replace(row, id=rename(row, n)) if count[row.id] > 1 else row for n, row in enumerate(rows, 1)]
    return rows


def _add_accuracy(rows: list[Row], evaluations: list[Folder], split: str | None) -> list[Row]:
    by_hash: dict[str | None, list[Folder]] = {}
    for folder in evaluations:
        by_hash.setdefault(folder.parent_hash, []).append(folder)
    pools = []
    for row in rows:
        looks = [folder for hash in sorted(row.hashes) for folder in by_hash.get(hash, [])]
        pools.append((*row.entries, *measurements.evaluated(looks, row.hash, row.hashes)))
    return [
        replace(
            row,
            entries=pool,
            measured=entry.figures if entry else None,
            is_shipped=entry.is_shipped if entry else True,
            predictions=entry.predictions if entry else None,
            measured_in=runtimes.accuracies(entry, pool),
        )
        for row, pool, entry in zip(rows, pools, measurements.choose(pools, split), strict=True)
    ]


def _add_latency(rows: list[Row], benches: list[Folder]) -> tuple[list[Row], list[str]]:
    """Latencies side by side come from one interleaved bench only: the one that holds most rows."""

    def count(bench: Folder) -> tuple[int, str]:
        timed = {entry["hash"] for entry in bench.result.get("bench") or []}
        return sum(not timed.isdisjoint(row.hashes) for row in rows), bench.started

    best = max(benches, key=count, default=None)
    if best is None or count(best)[0] == 0:
        return rows, notes.about_bench(rows, None)
    entries = best.result["bench"]
    timed: dict[str, dict[str, dict]] = {}
    about = {"bench": best.record["id"], "quiet": (best.result.get("noise") or {}).get("quiet")}
    for entry in entries:
        timed.setdefault(entry["hash"], {})[entry.get("runtime")] = {**entry, **about}
    timed_rows = []
    for row in rows:
        found = next((timed[hash] for hash in (row.hash, *sorted(row.hashes)) if hash in timed), {})
        timed_rows.append(replace(row, latency=found.get(entries[0].get("runtime")), timed_in=found))
    return timed_rows, notes.about_bench(timed_rows, best)
