"""strop bench: latency and throughput of several models, interleaved, in one runtime."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import BeforeValidator, Field, PlainSerializer

from .. import runs
from ..config import RunReference
from ..errors import UserError
from ..runs import Run
from .runtimes import ON_FILES, RuntimesField, check_runtime, onnx_file, open_runtime, random_batch
from .step import Step, log


def read_batch(value: Any) -> Any:
    """A number, or None for "auto"."""
    if value == "auto":
        return None
    if isinstance(value, str) and not value.isdigit():
        raise ValueError(f"'{value}' is not a batch. Write a number such as 64, or auto.")
    return value


class Entry(NamedTuple):
    """A model in a runtime: a row of the bench."""

    name: str
    runtime: str
    run: Run

    @property
    def key(self) -> str:
        return f"{self.name} ({self.runtime})"

    def path(self, scratch: Path) -> str:
        """What a fresh process loads."""
        return str(onnx_file(self.run, scratch) if self.runtime in ON_FILES else self.run.folder)

    def float_among(self, entries: list[Entry]) -> Entry | None:
        """The float model that this quantized one was made from, in the same runtime; both may be exports."""
        made, step = _made_from(self.run), self.run
        if self.run.record["verb"] == "export":
            try:
                step = Run.open(self.run.folder / self.run.record["parents"]["parent"]["path"])
            except UserError:  # not there any more
                return None
            made = _made_from(step)
        if step.record["verb"] != "quantize":
            return None
        alike = [entry for entry in entries if entry.runtime == self.runtime and entry is not self]
        return next((entry for entry in alike if made in (entry.run.model_hash(), _made_from(entry.run))), None)


def _made_from(run: Run) -> str | None:
    """The hash of what a quantized file, or an export, was made from."""
    made = run.record["verb"] in ("quantize", "export")
    return run.record["parents"]["parent"]["hash"] if made else None


class Bench(Step):
    """Time runs and exports in turn, so that their latencies can stand in one table.

    Float runs are exported to ONNX for it: all rows are timed in the same runtime, or in several beside each other.
    The ratio of each row to the first has an interval; cold start and memory are those of fresh processes.

    Example: strop bench runs/resnet18 runs/resnet18-pruned
    """

    verb: ClassVar[str] = "bench"
    positional: ClassVar[tuple[str, ...]] = ("parents",)
    references: ClassVar[tuple[str, ...]] = ("parents",)

    parents: Annotated[
        list[RunReference], BeforeValidator(lambda value: list(value) if isinstance(value, list | tuple) else [value])
    ] = Field(min_length=1, description="runs or exports to time")
    runtime: RuntimesField = Field(
        ("onnxruntime",),
        description="onnxruntime, openvino, torch, torch-compiled, cuda; several with commas",
    )
    threads: int = Field(1, ge=1, le=256, description="threads of the runtime")
    again: bool = Field(False, description="time once more, beside an earlier bench of the same files")
    rounds: int = Field(200, ge=5, le=100_000, description="timed calls at batch 1")
    batch: Annotated[int | None, BeforeValidator(read_batch), PlainSerializer(lambda batch: batch or "auto")] = Field(
        64, ge=1, le=4096, description="pictures of a call for images/s, or auto: the best power of two of each model"
    )
    cold_starts: int = Field(3, ge=0, le=100, description="fresh processes for cold start and memory; 0 for none")
    profile: int | None = Field(None, ge=1, le=1000, description="the N slowest nodes of each file (ONNX Runtime)")

    def key(self, parents: dict[str, Run], data: Any) -> str:
        key = super().key(parents, data)
        return runs.digest(key, time.time_ns()) if self.again else key

    def default_id(self, parents: dict[str, Run]) -> str:
        return "bench"

    def open_parents(self) -> dict[str, Run]:
        found: dict[str, Run] = {}
        for folder in self.parents:
            run = Run.open(folder)
            if any(run.folder.samefile(other.folder) for other in found.values()):
                raise UserError(f"bench {folder}", "is given twice. Name each run once.")
            _ = run.model_file  # says which folder holds no model
            found[run.id if run.id not in found else str(run.folder)] = run
        return found

    def open_data(self, parents: dict[str, Run]) -> None:
        return None

    def check(self, parents: dict[str, Run], data: Any) -> None:
        for runtime in self.runtime:
            for parent in parents.values():
                check_runtime(runtime, parent)
        if self.profile and "onnxruntime" not in self.runtime:
            advice = "Name onnxruntime too, or write strop info RUN --measure for the layers in torch."
            raise UserError(
                "--profile", f"is ONNX Runtime's own, and runs in {', '.join(self.runtime)} alone. {advice}"
            )

    def run(self, run: Run, parents: dict[str, Run], data: Any) -> dict:
        import tempfile

        from ..measure.bench import bench, noise
        from ..measure.machine import describe_machine

        machine = describe_machine(self.threads)  # its load before this adds to it
        with tempfile.TemporaryDirectory() as scratch:
            entries = [Entry(name, runtime, parents[name]) for runtime in self.runtime for name in parents]
            models = {entry.key: open_runtime(*entry[1:], Path(scratch), self.threads) for entry in entries}
            inputs = {key: (lambda count, model=model: random_batch(model, count)) for key, model in models.items()}
            floats = {entry.key: entry.float_among(entries) for entry in entries}
            made_from = {key: other.key for key, other in floats.items() if other is not None}
            rows = bench(models, inputs, rounds=self.rounds, batch=self.batch, floats=made_from)
            more = self._more(entries, models, inputs, rows, Path(scratch))
        restless = noise(rows)
        if not restless["quiet"]:
            log.warning("%s: the machine was not quiet: only ratios mean something", run.id)
        first = entries[0]
        found = []
        for entry in entries:
            row = rows[entry.key]
            if "ratio" in row:
                row["ratio"] |= {"to": first.name, "runtime": first.runtime}
            if "float_ratio" in row:
                row["float_ratio"]["to"] = floats[entry.key].name
            about = {"id": entry.name, "hash": entry.run.model_hash(), "runtime": entry.runtime}
            found.append(about | {"threads": self.threads} | row | more[entry.key])
        return {"bench": found, "noise": restless, "machine": machine}

    def _more(self, entries: list[Entry], models: dict, inputs: dict, rows: dict, scratch: Path) -> dict[str, dict]:
        """What is measured besides times: cold start and memory, energy, the profile."""
        from ..measure.energy import energy, find_meter
        from .fresh import cold_starts
        from .profiling import profile

        more: dict[str, dict] = {entry.key: {} for entry in entries}
        if self.cold_starts:
            commands = {entry.key: (entry.runtime, entry.path(scratch), str(self.threads)) for entry in entries}
            for key, started in cold_starts(commands, self.cold_starts).items():
                more[key] |= started
        meter = find_meter()
        if meter is not None:
            sizes = {key: row["images_per_second"]["batch"] for key, row in rows.items()}
            batches = {key: inputs[key](size) for key, size in sizes.items()}
            for key, used in energy(models, batches, sizes, meter).items():
                more[key]["energy"] = used
        if self.profile:
            for entry in entries:
                if entry.runtime == "onnxruntime":
                    file = Path(entry.path(scratch))
                    more[entry.key]["profile"] = profile(file, self.threads, self.profile, scratch)
        return more

    def present(self, run: Run) -> None:
        """Latencies alone are no picture; they stand in the table of what was timed."""
