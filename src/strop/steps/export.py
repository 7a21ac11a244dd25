"""strop export: the folder to deploy, with the evidence measured on its own bytes."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from ..config import RunReference
from ..errors import UserError
from ..runs import Run
from .forms import FormsField, check_forms, write_forms
from .runtimes import FileRuntimesField, check_runtime, open_file, random_batch
from .step import MOVED, Step, log, require_model


class Export(Step):
    """Write a folder to deploy: model.onnx (uint8 RGB of any size in, probabilities out) with its evidence.

    Accuracy and latency are measured on that file; class names, a model card and programs in Python and Node that
    call it lie beside it. `strop verify` holds the folder against its evidence.

    Example: strop export runs/resnet18-pruned-int8
    """

    verb: ClassVar[str] = "export"
    positional: ClassVar[tuple[str, ...]] = ("parent",)

    parent: RunReference = Field(description="run of train, prune or quantize")
    data: str | None = Field(None, description=MOVED)
    format: Literal["onnx"] = Field("onnx", description="onnx")
    unfinished: bool = Field(False, description="the best epoch so far of a training that is not finished")
    checkpoint: Literal["best", "last"] = Field(
        "best", description="of a finished training: the best epoch, or the last"
    )
    temperature: float | None = Field(
        None, ge=0.01, le=100, description="logits are divided by it, for calibrated probabilities (default: the run's)"
    )
    also: FormsField = Field((), description="other forms beside model.onnx, each measured: pt2, openvino, executorch")
    split: Literal["val", "test"] | None = Field(None, description="pictures for the evidence (default: test, if any)")
    runtime: FileRuntimesField = Field(
        ("onnxruntime",), description="what the file is measured in: onnxruntime, or onnxruntime,openvino"
    )

    @model_validator(mode="after")
    def _agree(self) -> Export:
        if self.unfinished and self.checkpoint == "last":
            raise ValueError("checkpoint: an unfinished training has no last epoch. Leave it out, or --unfinished.")
        if self.runtime[0] != "onnxruntime":
            raise ValueError("runtime: the programs beside the file use onnxruntime. Write onnxruntime,openvino.")
        return self

    def default_id(self, parents: dict[str, Run]) -> str:
        return f"{parents['parent'].id}-export"

    def open_parents(self) -> dict[str, Run]:
        if not self.unfinished:
            found = super().open_parents()
            if self.checkpoint == "last":
                from .last import last_epoch

                require_model(found["parent"], "--checkpoint last")
                found["parent"] = last_epoch(found["parent"])
            return found
        from pathlib import Path

        from .unfinished import best_so_far

        return {"parent": best_so_far(Path(self.parent))}

    def check(self, parents: dict[str, Run], data: Any) -> None:
        for runtime in self.runtime:
            check_runtime(runtime, parents["parent"])
        verb = parents["parent"].record["verb"]
        if verb not in ("train", "prune", "quantize"):
            raise UserError(
                parents["parent"].folder.as_posix(),
                f"was made by {verb}; there is nothing to export in it. Give a run of train, prune or quantize.",
            )
        if not len(data.splits[self._split(data)]):
            raise UserError(
                f"--split {self._split(data)}",
                f"'{data.source.name}' has no such pictures to measure on. "
                "Train with a validation share, or add a test folder.",
            )
        check_forms(self.also, parents["parent"])

    def _split(self, data: Any) -> str:
        return self.split or ("test" if len(data.splits["test"]) else "val")

    def run(self, run: Run, parents: dict[str, Run], data: Any) -> dict:
        import tempfile
        from pathlib import Path

        from .. import artifact
        from ..deploy.card import write_card
        from ..deploy.evidence import write_evidence
        from ..deploy.files import list_files
        from ..deploy.onnx import export_float, merge_preprocessing
        from ..deploy.runtime import OnnxModel
        from ..deploy.sparse import pack_zeros
        from .looks import count_look
        from .results import describe_file, measure
        from .subjects import write_description
        from .whole import WholePictures, whole_and_squares

        parent = parents["parent"]
        settings, classes = self._read_settings(parent)
        with tempfile.TemporaryDirectory() as scratch:
            source = parent.model_file
            if source.suffix != ".onnx":
                source = Path(scratch) / "float.onnx"
                shape = settings.channels, settings.input_size, settings.input_size
                export_float(artifact.load(parent).net, shape, source)
                dense = source.stat().st_size
                if packed := pack_zeros(source):
                    sizes = f"{source.stat().st_size:,} of {dense:,} bytes remain"
                    log.info("%s: the zeros of %d layers are left out:", run.id, len(packed))
                    log.info("  %s; it computes as before", sizes)
            merge_preprocessing(source, run.folder / "model.onnx", settings, classes)
        write_description(run.folder, parent)
        split, session = self._split(data), OnnxModel(run.folder / "model.onnx")
        others = write_forms(self.also, run, parent, session, settings, data, split)
        about, whole = {"split": split, "checkpoint": None, "runtime": "onnxruntime"}, whole_and_squares(session)
        scores, answers = measure(run, whole, WholePictures(data, split), data, **about)
        scores |= count_look(run, parent, data, split)
        speeds = _speeds(run, self.runtime)
        result = {
            "model": parent.result["model"] | describe_file(run),
            "measured": [scores],
            "latency": {"id": run.id, "hash": run.model_hash(), "threads": 1, **speeds["onnxruntime"]},
            **({"forms": others} if others else {}),
        }
        if len(self.runtime) > 1:
            result["runtimes"] = self._in_runtimes(run, scores, answers, data, speeds)
        write_card(run, result, settings, whole.agreement, data.source.name)
        write_evidence(run, result, settings, whole.agreement, data.source.name)
        list_files(run)
        return result

    def present(self, run: Run) -> None:
        """Draw, then list what is in the folder now: the record is complete, and nothing is written after this."""
        from ..deploy.files import list_files

        super().present(run)
        list_files(run)

    def _in_runtimes(self, run: Run, scores: dict, answers: Any, data: Any, speeds: dict) -> list[dict]:
        """Accuracy and latency of the file in each runtime, and where their answers differ."""
        from .agreement import measure_runtimes
        from .whole import WholePictures, answer_whole

        file = run.folder / "model.onnx"
        others = {name: answer_whole(open_file(name, file, 0)) for name in self.runtime[1:]}
        found = measure_runtimes(scores, answers, others, WholePictures(data, scores["split"]), data)
        timed = ("latency_ms", "images_per_second", "ratio")
        return [
            about | {name: speeds[about["name"]][name] for name in timed if name in speeds[about["name"]]}
            for about in found
        ]

    def _read_settings(self, parent: Run) -> tuple[Any, list[str]]:
        """What the file will do to pictures, and its classes."""
        from ..deploy.settings import Settings
        from ..runs import read_json
        from .temperature import temperature_to_use

        description = read_json(parent.folder / "model.json")
        temperature = self.temperature or temperature_to_use(parent)
        return Settings(**description["preprocess"], temperature=temperature), description["classes"]


def _speeds(run: Run, runtimes: tuple[str, ...]) -> dict[str, dict]:
    """A row of one bench for each runtime, timed in turn."""
    from ..measure.bench import bench

    sessions = {name: open_file(name, run.folder / "model.onnx", 1) for name in runtimes}
    inputs = {name: (lambda count, session=session: random_batch(session, count)) for name, session in sessions.items()}
    rows = bench(sessions, inputs, rounds=50)
    rows[runtimes[0]].pop("ratio", None)
    return {name: {"runtime": name, **row} for name, row in rows.items()}
