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
from .step import ROOT, Step

log = logging.getLogger("strop")


class Evaluate(Step):
    """Measure a run or an export: accuracy, precision, recall, F1, confusion, calibration; each prediction too.

    Example: strop evaluate runs/resnet18 --split test
    """

    verb: ClassVar[str] = "evaluate"
    uses_device: ClassVar[bool] = True
    positional: ClassVar[tuple[str, ...]] = ("parent", "data")

    parent: RunReference = Field(description="run or export to measure")
    data: str | None = Field(None, description="another folder or data set with the same classes (default: the run's)")
    split: Literal["train", "val", "test"] = Field("val", description="train, val or test")
    lines: bool = Field(False, description="print precision, recall and F1 of each class, six decimals")

    def execute(self, *, root: Path | str = ROOT, command: str | None = None) -> Run:
        """As every step; then, if asked, the line of each class, of a finished evaluation too."""
        run = super().execute(root=root, command=command)
        if self.lines and launch.rank() == 0:
            from ..report.sections import class_lines

            for scores in run.result["measured"]:
                log.info("%s", class_lines(scores))
        return run

    def default_id(self, parents: dict[str, Run]) -> str:
        return f"{parents['parent'].id}-on-{self.split}"

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

    def run(self, run: Run, parents: dict[str, Run], data: Any) -> dict:
        from ..data.load import pictures
        from ..measure.predictions import write_predictions
        from ..train.precision import resolve_device
        from .epochs import peak_memory
        from .looks import count_look
        from .results import measured
        from .subjects import open_subject

        subject = open_subject(parents["parent"], device=self.device)
        size, channels = subject.preprocess.input_size, subject.preprocess.channels
        chosen = pictures(data, self.split, size=size, channels=channels)
        about = {"split": self.split, "runtime": subject.runtime}
        names, labels = data.names(self.split), data.labels(self.split)
        with write_predictions(run.folder / "predictions.parquet", names, labels, data.classes) as record:
            scores = measured(parents["parent"], subject, chosen, data, record=record, **about)
        scores |= count_look(run, parents["parent"], data, self.split)
        scores["peak_memory_bytes"] = peak_memory(resolve_device(self.device) if subject.runtime == "torch" else "cpu")
        return {"model": parents["parent"].result["model"], "measured": [scores]}
