"""strop evaluate: measure a run or an exported file on a split."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from .. import launch
from ..config import RunReference
from ..errors import UserError
from ..runs import Run
from .fields import SizesField
from .runtimes import FileRuntimesField, check_runtime
from .step import ROOT, Step

log = logging.getLogger("strop")


class Evaluate(Step):
    """Measure a run or an export: accuracy, precision, recall, F1, confusion, calibration; each prediction too.

    Training, validation and (only with --split test) test pictures stand side by side, best and last weights both.

    Example: strop evaluate runs/resnet18 --split test
    """

    verb: ClassVar[str] = "evaluate"
    uses_device: ClassVar[bool] = True
    positional: ClassVar[tuple[str, ...]] = ("parent", "data")

    parent: RunReference = Field(description="run or export to measure")
    data: str | None = Field(None, description="another folder or data set with the same classes (default: the run's)")
    split: Literal["train", "val", "test"] = Field(
        "val", description="val; test is counted; train. Those before it stand beside it"
    )
    ood: str | None = Field(None, description="folder or data set of another kind: how well is it told apart?")
    explain: bool = Field(False, description="worst errors, confused classes, likely label errors, Grad-CAM")
    corrupt: bool = Field(False, description="accuracy under 15 corruptions at five strengths: noise, blur, snow, ...")
    sizes: SizesField = Field((), description="accuracy at other sizes, 128,160,192; needs a run in torch")
    flips: bool = Field(False, description="accuracy on mirrored and upturned pictures")
    train_pictures: int = Field(10_000, ge=0, description="training pictures measured at most; 0 for none")
    runtime: FileRuntimesField = Field(
        ("onnxruntime",), description="what runs an ONNX file: onnxruntime, openvino, or both with a comma"
    )
    lines: bool = Field(False, description="print precision, recall and F1 of each class, six decimals")

    def execute(self, *, root: Path | str = ROOT, command: str | None = None, charts: bool = True) -> Run:
        """As every step; then, if asked, the line of each class, of a finished evaluation too."""
        run = super().execute(root=root, command=command, charts=charts)
        if self.lines and launch.rank() == 0:
            from ..report.sections import class_lines

            log.info("%s", class_lines(run.result["measured"][0]))
        return run

    def default_id(self, parents: dict[str, Run]) -> str:
        how = [] if self.runtime == ("onnxruntime",) else self.runtime
        return "-".join([parents["parent"].id, "on", self.split, *how])

    def open_data(self, parents: dict[str, Run]) -> Any:
        from ..data.dataset import open_data
        from .data import reopen, same_classes

        if self.data is None:
            return reopen(parents["parent"])
        about = parents["parent"].data["validation"]
        alpha = parents["parent"].data.get("alpha", "white")
        options = {"validation": about["share"], "seed": about["seed"], "alpha": alpha}
        data = open_data(self.data, max_unreadable=None, **options)
        same_classes(parents["parent"], data)
        return data

    def check(self, parents: dict[str, Run], data: Any) -> None:
        if not len(data.splits[self.split]):
            have = ", ".join(split for split, items in data.splits.items() if len(items))
            raise UserError(
                f"--split {self.split}", f"'{data.source.name}' has no {self.split} pictures. It has: {have}."
            )
        if "openvino" in self.runtime:
            if parents["parent"].model_file.suffix != ".onnx":
                raise UserError("--runtime openvino", "runs ONNX files. Give a quantized run or an export.")
            check_runtime("openvino", parents["parent"])
        if self.sizes and parents["parent"].model_file.name != "model.safetensors":
            raise UserError("--sizes", f"'{parents['parent'].id}' is a file for one size. Give the run it came from.")
        if self.ood is not None:
            from .data import open_outliers

            open_outliers(self.ood, parents["parent"])

    def run(self, run: Run, parents: dict[str, Run], data: Any) -> dict:
        from ..train.precision import resolve_device
        from .columns import measure_columns, splits_beside
        from .epochs import peak_memory
        from .judging import judge, trained_on
        from .looks import count_look
        from .subjects import open_subject

        parent = parents["parent"]
        subject = open_subject(parent, device=self.device, runtime=self.runtime[0])
        splits = splits_beside(self.split, data, train=self.train_pictures, alone=self.data is not None)
        columns = measure_columns(run, parent, subject, data, splits, train=self.train_pictures)
        searched = self.split == "test"
        judge(columns, data, trained_on(parent, data, same=self.data is None) if searched else None)
        extra = self._on_demand(run, parent, subject, columns[0], data)
        entries = [column.scores for column in columns]
        if self.split == "test":
            look = count_look(run, parent, data, "test")
            entries = [scores | look if scores["split"] == "test" else scores for scores in entries]
        entries[0]["peak_memory_bytes"] = peak_memory(resolve_device(self.device) if subject.model else "cpu")
        if len(self.runtime) > 1:
            extra["runtimes"] = self._in_runtimes(parent, subject, columns[0], data)
        return {"model": parent.result["model"], "measured": entries, **extra}

    def _in_runtimes(self, parent: Run, subject: Any, column: Any, data: Any) -> list[dict]:
        """The accuracy in each runtime, and where they disagree, on the asked split."""
        from .agreement import measure_runtimes
        from .subjects import open_split, open_subject

        others = {name: open_subject(parent, runtime=name) for name in self.runtime[1:]}
        return measure_runtimes(*column, others, open_split(data, self.split, subject.preprocess), data)

    def _on_demand(self, run: Run, parent: Run, subject: Any, column: Any, data: Any) -> dict:
        """What only some evaluations have, of the best weights on the asked split."""
        from .data import open_outliers
        from .explaining import explain
        from .judging import against_outliers
        from .robustness import measure_robustness

        found = {}
        if self.ood is not None:
            found["outliers"] = against_outliers(subject, column, *open_outliers(self.ood, parent), self.seed)
        if self.explain:
            found["explained"] = explain(run.folder, subject, column, data)
        if self.corrupt or self.flips or self.sizes:
            changes = {"corrupt": self.corrupt, "flip": self.flips, "sizes": self.sizes}
            found["robustness"] = measure_robustness(subject, data, self.split, **changes, seed=self.seed)
        return found
