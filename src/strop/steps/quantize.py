"""strop quantize: an int8 ONNX file from a float run, calibrated on balanced training pictures."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from ..config import RunReference
from ..runs import Run
from .step import MOVED, Step, log, require_model


class Quantize(Step):
    """Quantize a run to an int8 ONNX file and measure that file.

    Example: strop quantize runs/resnet18-pruned
    """

    verb: ClassVar[str] = "quantize"
    positional: ClassVar[tuple[str, ...]] = ("parent",)

    parent: RunReference = Field(description="float run to quantize")
    data: str | None = Field(None, description=MOVED)
    scheme: Literal["int8"] = Field("int8", description="int8: weights per channel, activations per tensor")
    images: int = Field(512, ge=8, le=100_000, description="training pictures to calibrate on, the same number a class")
    calibrator: Literal["minmax", "entropy", "percentile"] = Field(
        "minmax", description="how the range of activations is read off: minmax, entropy or percentile"
    )

    def default_id(self, parents: dict[str, Run]) -> str:
        return f"{parents['parent'].id}-{self.scheme}"

    def check(self, parents: dict[str, Run], data: Any) -> None:
        require_model(parents["parent"], "quantize")

    def run(self, run: Run, parents: dict[str, Run], data: Any) -> dict:
        import tempfile
        from pathlib import Path

        import torch

        from .. import artifact
        from ..data.load import pictures
        from ..deploy.onnx import export_float
        from ..quantize.calibration import choose_balanced
        from ..quantize.static import quantize_int8
        from .results import describe_file, measured
        from .subjects import normalize, open_subject, write_description

        parent = parents["parent"]
        model = artifact.load(parent)
        preprocess = model.preprocess
        train = pictures(data, "train", size=preprocess.input_size, channels=preprocess.channels)
        chosen = torch.from_numpy(choose_balanced(data.labels("train"), self.images, seed=self.seed))
        log.info("%s: calibrating on %d training pictures, %s", run.id, len(chosen), self.calibrator)
        batches = (normalize(train.batch(part).numpy(), preprocess) for part in chosen.split(64))
        with tempfile.TemporaryDirectory() as scratch:
            source = Path(scratch) / "float.onnx"
            export_float(model.net, preprocess.shape, source)
            quantize_int8(source, run.folder / "model.onnx", batches, calibrator=self.calibrator)
        write_description(run.folder, parent, quantization={"scheme": self.scheme, "float_parent": parent.model_hash()})
        about = parent.result["model"]
        result = {
            "model": about | {"trained": [*about["trained"], self.scheme]} | describe_file(run),
            "measured": [],
            "quantization": {"scheme": self.scheme, "calibrator": self.calibrator, "images": len(chosen)},
        }
        if len(data.splits["val"]):
            val = pictures(data, "val", size=preprocess.input_size, channels=preprocess.channels)
            result["measured"].append(measured(run, open_subject(run), val, data, split="val", runtime="onnxruntime"))
        return result
