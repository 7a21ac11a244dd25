"""strop quantize: an ONNX file of 8 bits or fewer from a float run, calibrated on training pictures or trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from ..config import ByteBudgetField, RunReference
from ..errors import UserError
from ..runs import Run
from .options import DEFAULT_LR, TrainingOptions, _lower
from .parts import Distill, name_of, split_distill
from .step import MOVED, Step, log, require_model
from .teachers import Teachers

SAVES = {
    "w6": "6-bit weights are stored in 8 bits: the file is as large as int8, and as fast.",
    "w4": "4-bit weights save bytes, not time: the file computes as int8 does.",
    "w3": "3-bit weights are stored in 4 bits: they save the bytes of w4, and no time.",
    "mixed": "4-bit weights save bytes, not time: the file computes as int8 does.",
}


Correction = Annotated[Literal["auto", "true", "false"], BeforeValidator(_lower)]
LR_SHARE = 0.01  # of the usual learning rate: trained already, and without batch norms a tenth can wreck it
TRAINING = set(TrainingOptions.model_fields) - set(Step.model_fields) - {"epochs", "cache_gb"}
NOT_ROUNDED = ("sparsify", "constrain", "dropout", "drop_path", "layer_decay", "compile")  # here is one graph


def _apart(points: float) -> str:
    """Less than a hundredth of a point is none."""
    if abs(points) < 0.005:
        return "the same"
    return f"{abs(points):.2f} points {'higher' if points > 0 else 'lower'}"


class Quantize(TrainingOptions):
    """Quantize a run to an ONNX file of int8 activations and weights of 8 bits or fewer, and measure that file.

    With --epochs it trains while it rounds (quantization-aware training), its parent or --teacher teaching.

    Example: strop quantize runs/resnet18-pruned
    """

    verb: ClassVar[str] = "quantize"
    positional: ClassVar[tuple[str, ...]] = ("parent",)
    references: ClassVar[tuple[str, ...]] = ("parent", "teacher")

    parent: RunReference = Field(description="float run to quantize")
    data: str | None = Field(None, description=MOVED)
    scheme: Literal["int8", "w6", "w4", "w3", "mixed"] = Field(
        "int8", description="bits of the weights, per channel; activations have 8. mixed: 8 or 4 a layer, by --bytes"
    )
    images: int = Field(512, ge=8, le=100_000, description="training pictures to calibrate on, the same number a class")
    calibrator: Literal["auto", "minmax", "entropy", "percentile"] = Field(
        "auto", description="how ranges of activations are read off; auto: what is best on validation pictures"
    )
    equalize: Correction = Field(
        "auto", description="make ranges of following channels alike; auto: with calibrator auto"
    )
    bias_correction: Correction = Field(
        "auto", description="take what rounding does to means out of biases; auto: with calibrator auto"
    )
    max_drop: float | None = Field(
        None, ge=0, le=100, description="points of validation accuracy that may be lost; layers that hurt stay in float"
    )
    bytes: ByteBudgetField | None = Field(
        None, description="size of the file, with scheme mixed: 0.5MB, or 12% of the parent"
    )
    sensitivity: bool = Field(False, description="measure what each layer alone costs (max-drop and mixed always do)")
    epochs: int | None = Field(
        None, ge=1, le=10_000, description="train while rounding for so many epochs (default: only calibrate)"
    )
    lr: float | None = Field(None, gt=0, description="peak learning rate (default: 0.0005 for sgd, else 1e-5)")
    teacher: Teachers = Field(
        None, description="who teaches while rounding (default: the parent): runs a,b; parent, unpruned; or tv:NAME"
    )
    distill: Distill = Field("kd", validate_default=True, description="loss on the teacher's answers, or none")
    controls: bool = Field(
        False, description="train the float parent for as many epochs too, and compare; about as long again"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_rates(cls, raw: Any) -> Any:
        """A hundredth of the usual learning rate, and the warm-up; without epochs there is none."""
        if not isinstance(raw, dict) or raw.get("epochs") is None:
            return raw
        usual = DEFAULT_LR["sgd" if name_of(raw.get("optimizer", "sgd")) == "sgd" else "others"]
        lr = raw.get("lr")
        return super()._fill_rates(raw | {"lr": LR_SHARE * usual if lr is None else lr})

    @model_validator(mode="after")
    def _trains(self) -> Quantize:
        """Options that have no effect are refused: those of a training without one, and those that go with none."""
        if self.epochs is None:
            idle = sorted((TRAINING | {"teacher", "controls"}) & self.model_fields_set)
            usual, given = type(self)(parent=self.parent).model_dump() if idle else {}, self.model_dump()
            for name in idle:
                if given[name] != usual[name]:
                    raise ValueError(f"{name}: has no effect without epochs. Add --epochs 3 to train, or leave it out.")
            return self
        for name in NOT_ROUNDED:
            if getattr(self, name):
                raise ValueError(f"{name}: has no effect on a network that is being rounded. Leave it out.")
        for name in ("calibrator", "equalize", "bias_correction"):
            if getattr(self, name) != "auto":
                raise ValueError(f"{name}: has no effect with epochs; ranges and biases are learned. Leave it out.")
        if self.precision not in ("auto", "fp32"):
            raise ValueError(f"precision: rounding is trained in fp32, not {self.precision}. Leave it out.")
        if split_distill(self.distill)[1]:
            raise ValueError("distill: a network that is being rounded has no stages. Write a loss on answers, as kd.")
        if self.teacher is not None and not self.distill:
            raise ValueError("teacher: has no effect with distill none. Leave one out.")
        return self

    @model_validator(mode="after")
    def _agree(self) -> Quantize:
        if self.scheme == "mixed" and self.bytes is None:
            raise ValueError("bytes: scheme mixed needs a budget for the file. Write for example 0.5MB.")
        if self.scheme != "mixed" and self.bytes is not None:
            raise ValueError(f"bytes: has no effect with scheme {self.scheme}. Write scheme mixed, or leave it out.")
        if self.scheme == "mixed" and self.max_drop is not None:
            raise ValueError("max_drop: can't be held together with a budget of bytes. Leave one out.")
        return self

    def settings(self) -> dict:
        """Without what has no effect."""
        settings = super().settings()
        if self.epochs is None:
            for name in (*TRAINING, "epochs", "teacher", "distill", "controls", "cache_gb"):
                settings.pop(name, None)
        return settings

    def default_id(self, parents: dict[str, Run]) -> str:
        return f"{parents['parent'].id}-{self.scheme}" + ("-qat" if self.epochs else "")

    def check(self, parents: dict[str, Run], data: Any) -> None:
        require_model(parents["parent"], "quantize")
        super().check(parents, data)
        asked = "--max-drop" if self.max_drop is not None else "--sensitivity" if self.judges_layers() else None
        if asked and not len(data.splits["val"]):
            raise UserError(
                "--scheme mixed" if self.scheme == "mixed" else asked,
                f"'{data.source.name}' has no validation pictures to judge layers on. Train with a validation share.",
            )

    def judges_layers(self) -> bool:
        """Whether each layer is tried alone, on validation pictures."""
        return self.sensitivity or self.max_drop is not None or self.scheme == "mixed"

    def run(self, run: Run, parents: dict[str, Run], data: Any) -> dict:
        from .. import artifact
        from .quantizing import Judge
        from .results import describe_file, measured
        from .subjects import normalize, open_split, open_subject, write_description

        parent = parents["parent"]
        model = artifact.load(parent)
        val = open_split(data, "val", model.preprocess) if len(data.splits["val"]) else None
        judge = Judge(val, model, lambda images: normalize(images, model.preprocess)) if val is not None else None
        write_description(run.folder, parent, quantization={"scheme": self.scheme, "float_parent": parent.model_hash()})
        if self.epochs:
            from .qat import train_quantized

            blocks, word = train_quantized(self, run, parents, data, judge), f"{self.scheme} QAT"
        else:
            blocks, word = {"quantization": self._only_calibrate(run, parent, model, data, judge)}, self.scheme
        before, scores, about = parent.result["model"], [], blocks["quantization"]
        if judge is not None:
            scores = [measured(run, open_subject(run), val, data, split="val", runtime="onnxruntime")]
            alike, n = 100 * about["agreement"], f"{judge.n:,}"
            log.info("  gives the answer of its float parent to %.2f %% of %s validation pictures,", alike, n)
            log.info("  and its accuracy is %s", _apart(-100 * about["accuracy_drop"]))
        if self.scheme in SAVES:
            about["note"] = SAVES[self.scheme]
            log.info("  %s", about["note"])
        return {
            "model": before | {"trained": [*before["trained"], word]} | describe_file(run),
            "measured": scores,
            **blocks,
        }

    def _only_calibrate(self, run: Run, parent: Run, model: Any, data: Any, judge: Any) -> dict:
        """Write model.onnx of the network as it is; returns the `quantization` block."""
        import shutil
        import tempfile

        from ..deploy.onnx import export_float
        from ..quantize.layers import describe_layers
        from ..quantize.static import prepare
        from .bits import choose_bits
        from .quantizing import Writer, loss_report

        with tempfile.TemporaryDirectory() as scratch:
            source, prepared = Path(scratch) / "float.onnx", Path(scratch) / "prepared.onnx"
            export_float(model.net, model.preprocess.shape, source)
            prepare(source, prepared)
            writer = Writer(prepared)
            about = self.calibrate(run, writer, judge, model.preprocess, data)
            ways = "another calibrator or more --images"
            bits, found = choose_bits(self, writer, judge, parent.result["model"]["bytes"], ways=ways)
            shutil.copyfile(writer.write(bits), run.folder / "model.onnx")
            about |= found | {"layers": describe_layers(run.folder / "model.onnx", writer.layers, bits)}
        return about | (loss_report(judge, judge.ask_file(run.model_file)) if judge is not None else {})

    def calibrate(self, run: Run, writer: Any, judge: Any, preprocess: Any, data: Any) -> dict:
        """Give the writer its ranges, and say how they were found."""
        from ..quantize.ranges import observe, read_ranges
        from ..quantize.weights import BITS
        from .correcting import apply_corrections
        from .quantizing import calibration_pictures, choose_calibrator

        n, batches = calibration_pictures(self, data, preprocess)
        log.info("%s: calibrating on %s training pictures", run.id, f"{n:,}")
        histograms = observe(writer.prepared, batches())
        name, about = self.calibrator, {}
        if name == "auto" and judge is None:
            name = "minmax"
            log.info("  no validation pictures to choose on: %s", name)
        elif name == "auto":
            about["calibrators"] = choose_calibrator(writer, judge, histograms, BITS.get(self.scheme, 8))
            name = about["calibrators"][0]["name"]
            log.info("  of %d calibrators %s is best on validation pictures", len(about["calibrators"]), name)
        writer.ranges = read_ranges(histograms, name)
        about |= apply_corrections(
            writer,
            judge if self.calibrator == "auto" else None,
            batches,
            calibrator=name,
            bits=BITS.get(self.scheme, 8),
            wanted=(self.equalize, self.bias_correction),
        )
        return {"scheme": self.scheme, "calibrator": name, "images": n} | about
