"""strop bench: latency and throughput of several models, interleaved, in one runtime."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from .. import runs
from ..config import RunReference
from ..errors import UserError
from ..runs import Run
from .step import Step, log


class Bench(Step):
    """Time runs and exports in turn, so that their latencies can stand in one table.

    Float runs are exported to ONNX for it: all rows are timed in the same runtime.

    Example: strop bench runs/resnet18 runs/resnet18-pruned
    """

    verb: ClassVar[str] = "bench"
    positional: ClassVar[tuple[str, ...]] = ("parents",)
    references: ClassVar[tuple[str, ...]] = ("parents",)

    parents: Annotated[
        list[RunReference], BeforeValidator(lambda value: list(value) if isinstance(value, list | tuple) else [value])
    ] = Field(min_length=1, description="runs or exports to time")
    threads: int = Field(1, ge=1, le=256, description="threads of the runtime")
    again: bool = Field(False, description="time once more, beside an earlier bench of the same files")
    rounds: int = Field(200, ge=5, le=100_000, description="timed calls at batch 1")

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

    def run(self, run: Run, parents: dict[str, Run], data: Any) -> dict:
        import tempfile

        from ..measure.bench import bench, noise

        with tempfile.TemporaryDirectory() as scratch:
            sessions = {name: open_session(parent, Path(scratch), self.threads) for name, parent in parents.items()}
        inputs = {
            name: (lambda count, session=session: random_batch(session, count)) for name, session in sessions.items()
        }
        rows = bench(sessions, inputs, rounds=self.rounds)
        restless = noise(rows)
        if not restless["quiet"]:
            log.warning(
                "the machine is not quiet (p95 is %.1f times p50): read ratios, not digits", restless["p95_over_p50"]
            )
        return {
            "bench": [
                {
                    "id": name,
                    "hash": parents[name].model_hash(),
                    "runtime": "onnxruntime",
                    "threads": self.threads,
                    **row,
                }
                for name, row in rows.items()
            ],
            "noise": restless,
        }

    def present(self, run: Run) -> None:
        """Latencies alone are no picture; they stand in the table of what was timed."""


def open_session(run: Run, scratch: Path, threads: int) -> Any:
    """An ONNX session of what the run holds; a float model is exported first."""
    from .. import artifact
    from ..deploy.onnx import export_float
    from ..deploy.runtime import OnnxModel

    path = run.model_file
    if path.suffix != ".onnx":
        model = artifact.load(run)
        path = scratch / f"{run.id}.onnx"
        export_float(model.net, model.preprocess.shape, path)
    return OnnxModel(path, threads=threads)


def random_batch(session: Any, count: int) -> Any:
    """Pixels (or normalised floats) of no meaning; the time does not depend on them."""
    import numpy as np

    generator = np.random.default_rng(0)
    shape = (count, *session.shape)
    if session.dtype == np.uint8:
        return generator.integers(0, 256, shape, dtype=np.uint8)
    return generator.standard_normal(shape, dtype=np.float32)
