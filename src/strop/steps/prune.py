"""strop prune: remove channels, ranks or single weights down to a budget, then fine-tune under a teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from ..config import BudgetField, ByteBudgetField, RunReference, TimeBudgetField, part_of
from ..errors import UserError
from ..prune.criteria import criteria
from ..runs import Run
from .options import TrainingOptions
from .parts import Distill
from .step import MOVED, ROOT
from .teachers import Teachers

KINDS = ("params", "macs", "bytes", "latency")
WORDS = {"channels": "pruned", "svd": "svd", "unstructured": "unstructured"}
OF_CHANNELS = ("criterion", "attention", "depth", "sensitivity", "controls", "latency")
IDLE = {
    "channels": (),
    "svd": (*OF_CHANNELS, "scope", "rounds"),
    "unstructured": (*OF_CHANNELS, "round_to", "macs", "bytes", "sparsify"),
}
"""What has no effect with a method."""
INSTEAD = {"svd": "params, macs or bytes", "unstructured": "params, of what is not zero"}
BUDGETS = "params (9% or 0.96M), macs (50% or 0.46G), bytes (1MB) or latency (1.5ms)"


class Prune(TrainingOptions):
    """Prune a run to a budget of what may remain, and fine-tune it with its parent (or --teacher) as teacher.

    Example: strop prune runs/resnet18 --params 9%
    """

    verb: ClassVar[str] = "prune"
    positional: ClassVar[tuple[str, ...]] = ("parent",)
    references: ClassVar[tuple[str, ...]] = ("parent", "teacher")

    parent: RunReference = Field(description="run to prune")
    data: str | None = Field(None, description=MOVED)
    params: BudgetField | None = Field(None, description="parameters that may remain: 9% or 0.96M")
    macs: BudgetField | None = Field(None, description="multiply-accumulates that may remain: 50% or 0.46G")
    bytes: ByteBudgetField | None = Field(None, description="size of model.safetensors that may remain: 1MB or 25%")
    latency: TimeBudgetField | None = Field(
        None, description="time of one picture in ONNX Runtime here, one thread: 1.5ms, or 25% of the parent's"
    )
    method: Literal["channels", "svd", "unstructured"] = Field(
        "channels",
        description="channels; as controls svd (layers as two thin ones), unstructured (small weights zero)",
    )
    criterion: part_of(criteria) = Field(
        "group-norm", validate_default=True, description=f"how channels are ranked: {', '.join(criteria.names())}"
    )
    scope: Literal["local", "global"] = Field(
        "local", description="local: the same share of each group; global: one threshold over all"
    )
    round_to: int = Field(16, ge=1, le=64, description="channels come in multiples of this; relaxed where it must be")
    attention: Literal["both", "heads", "width", "whole"] = Field(
        "both", description="what of attention goes: heads, width of all heads of a layer, both; whole: neither"
    )
    rounds: int = Field(1, ge=1, le=100, description="prune and fine-tune in so many steps; the epochs are shared out")
    depth: int | None = Field(None, ge=1, le=1000, description="take out so many whole residual blocks first")
    depth_by: Literal["loss", "influence"] = Field(
        "loss", description="the block without which the validation loss is lowest, or that changes its input least"
    )
    controls: bool = Field(
        False, description="train the same network from scratch, and the parent as much longer, and say how they do"
    )
    sensitivity: bool = Field(False, description="measure what each group of channels alone costs, and draw it")
    teacher: Teachers = Field(
        None, description="who teaches the fine-tuning (default: the parent): runs a,b; parent, unpruned; or tv:NAME"
    )
    distill: Distill = Field(
        "dist", validate_default=True, description="loss on the teacher's answers or maps, as in kd+hint, or none"
    )

    @model_validator(mode="after")
    def _method_heeds(self) -> Prune:
        """What has no effect with a method is refused."""
        for name in IDLE[self.method]:
            default = type(self).model_fields[name].get_default()
            given = getattr(self, name)
            if given != default and getattr(given, "name", given) != default:
                instead = f"; write {INSTEAD[self.method]}" if name in KINDS else ""
                raise ValueError(f"{name}: has no effect with method {self.method}. Leave it out{instead}.")
        return self

    @model_validator(mode="after")
    def _agree(self) -> Prune:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) > 1 or not given and self.depth is None:
            raise ValueError(f"{(given or KINDS)[0]}: give exactly one budget, {BUDGETS}.")
        if not given and self.rounds > 1:
            raise ValueError(f"rounds: {self.rounds} go towards a budget, and there is none. Add {BUDGETS}.")
        if self.rounds > self.epochs:
            raise ValueError(f"rounds: {self.rounds} share {self.epochs} epochs. Write at least an epoch for each.")
        if self.warmup_epochs is not None and self.warmup_epochs >= self.epochs // self.rounds:
            raise ValueError(
                f"warmup_epochs: {self.warmup_epochs:g} is not less than the {self.epochs // self.rounds} epochs of a "
                "round. Write less, or more epochs."
            )
        if self.teacher is not None and not self.distill:
            raise ValueError("teacher: has no effect with distill none. Leave one out.")
        return self

    @property
    def budget(self) -> tuple[str | None, Any]:
        """What is limited, and how much may remain; nothing where only blocks go."""
        return next(((kind, getattr(self, kind)) for kind in KINDS if getattr(self, kind) is not None), (None, None))

    def execute(self, *, root: Path | str = ROOT, command: str | None = None, charts: bool = True) -> Run:
        """As every step; then, if asked, the two controls, beside a finished run too."""
        run = super().execute(root=root, command=command, charts=charts)
        if self.controls:
            from .controls import train_controls

            train_controls(self, run)
        return run

    def settings(self) -> dict:
        """Without the usual method: a run that was made before there were others is the same work."""
        settings = super().settings()
        if self.method == "channels":
            del settings["method"]
        return settings

    def default_id(self, parents: dict[str, Run]) -> str:
        return f"{parents['parent'].id}-{WORDS[self.method]}"

    def check(self, parents: dict[str, Run], data: Any) -> None:
        super().check(parents, data)
        judging = {"--depth": self.depth is not None, "--sensitivity": self.sensitivity, "--controls": self.controls}
        asked = next((flag for flag, given in judging.items() if given), None)
        if asked and not len(data.splits["val"]):
            raise UserError(
                asked, f"'{data.source.name}' has no validation pictures to judge by. Train with a validation share."
            )

    def run(self, run: Run, parents: dict[str, Run], data: Any) -> dict:
        from .. import artifact
        from ..runs import read_json
        from ..train.precision import resolve_precision
        from .constraining import describe_before, draw_change
        from .dropping import with_drops
        from .factorizing import Factorizing
        from .objective import word_training
        from .pruning import Pruning
        from .results import describe_model, describe_training, measure_best_and_last, note_weights
        from .rounds import train_rounds
        from .sparsity import describe_sparsity
        from .start import choose_device, open_pictures, resolve
        from .stored import describe_layers, layer_sizes
        from .teachers import load_teacher
        from .zeroing import Zeroing

        parent = parents["parent"]
        description = read_json(parent.folder / "model.json")
        model, builder = with_drops(self, artifact.load(parent), description["builder"], description["attributes"])
        train, val = open_pictures(self, run, data, model.preprocess)
        whole = layer_sizes(model.net)
        make = {"channels": Pruning, "svd": Factorizing, "unstructured": Zeroing}[self.method]
        pruning = make(run, model, self, train, val)
        builder = pruning.begin(builder)
        device = choose_device(run, self.device)
        precision = resolve(run, "precision", resolve_precision(self.precision, model.net, device))
        teacher = None
        if self.distill:
            teacher = load_teacher(self.teacher, run, parents, data) if self.teacher else artifact.load(parent)
        weights = describe_before(model.net, self)
        parts = {"train": train, "val": val, "teacher": teacher, "device": device, "precision": precision}
        facts, trained = train_rounds(run, model, builder, pruning.options, pruning.cut, **parts)
        artifact.save(run.folder, model, builder)
        note_weights(run, model)
        draw_change(run, weights, model.net)
        before = parent.result["model"]
        words = word_training(self, [*before["trained"], WORDS[self.method]], distilled=teacher is not None)
        return {
            "model": describe_model(run, model, before["name"], words),
            "measured": measure_best_and_last(run, model, val, data),
            "training": describe_training(facts, self),
            **describe_sparsity(model.net, pruning.options),
            "pruning": pruning.report(trained) | {"layers": describe_layers(model.net, whole)},
        }
