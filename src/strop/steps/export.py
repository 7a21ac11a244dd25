"""strop export: the folder to deploy, with the evidence measured on its own bytes."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from ..config import RunReference
from ..errors import UserError
from ..runs import Run
from .step import MOVED, Step, require_model


class Export(Step):
    """Write model.onnx (uint8 pixels in, probabilities out) and measure accuracy and latency on that file.

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
    split: Literal["val", "test"] | None = Field(None, description="pictures for the evidence (default: test, if any)")

    @model_validator(mode="after")
    def _agree(self) -> Export:
        if self.unfinished and self.checkpoint == "last":
            raise ValueError("checkpoint: an unfinished training has no last epoch. Leave it out, or --unfinished.")
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

    def _split(self, data: Any) -> str:
        return self.split or ("test" if len(data.splits["test"]) else "val")

    def run(self, run: Run, parents: dict[str, Run], data: Any) -> dict:
        import tempfile
        from pathlib import Path

        from .. import artifact
        from ..data.load import pictures
        from ..deploy.folder import write_deployment
        from ..deploy.onnx import export_float, merge_preprocessing
        from ..measure.bench import bench
        from .looks import count_look
        from .results import describe_file, measured
        from .runtimes import open_session, random_batch
        from .subjects import open_subject, write_description

        parent = parents["parent"]
        preprocess = artifact.read_preprocess(_description(parent))
        with tempfile.TemporaryDirectory() as scratch:
            source = parent.model_file
            if source.suffix != ".onnx":
                source = Path(scratch) / "float.onnx"
                export_float(artifact.load(parent).net, preprocess.shape, source)
            merge_preprocessing(
                source, run.folder / "model.onnx", shape=preprocess.shape, mean=preprocess.mean, std=preprocess.std
            )
        write_description(run.folder, parent)
        split = self._split(data)
        chosen = pictures(data, split, size=preprocess.input_size, channels=preprocess.channels)
        scores = measured(run, open_subject(run), chosen, data, split=split, runtime="onnxruntime")
        scores |= count_look(run, parent, data, split)
        session = open_session(run, run.folder, 1)
        speed = bench({"file": session}, {"file": lambda count: random_batch(session, count)}, rounds=50)["file"]
        result = {
            "model": parent.result["model"] | describe_file(run),
            "measured": [scores],
            "latency": {"id": run.id, "hash": run.model_hash(), "runtime": "onnxruntime", "threads": 1, **speed},
        }
        write_deployment(run, result, parents)
        return result


def _description(run: Run) -> dict:
    from ..runs import read_json

    return read_json(run.folder / "model.json")
