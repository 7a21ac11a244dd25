"""strop prune: remove channels down to a budget, then fine-tune under a teacher."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from ..config import BudgetField, RunReference, part_of
from ..distill import losses as distillation_losses
from ..prune.criteria import criteria
from ..runs import Run
from .options import TrainingOptions
from .step import MOVED, log


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
    criterion: part_of(criteria) = Field("group-norm", validate_default=True, description="how channels are ranked")
    scope: Literal["local", "global"] = Field(
        "local", description="local: the same share of each group; global: one threshold over all"
    )
    round_to: int = Field(16, ge=1, le=64, description="channels come in multiples of this; relaxed where it must be")
    teacher: RunReference | None = Field(None, description="run that teaches the fine-tuning (default: the parent)")
    distill: part_of(distillation_losses, optional=True) = Field(
        "kd", validate_default=True, description="loss on the teacher's answers, or none"
    )

    @model_validator(mode="after")
    def _agree(self) -> Prune:
        if (self.params is None) == (self.macs is None):
            raise ValueError("params: give exactly one budget, params (9% or 0.96M) or macs (50% or 0.46G).")
        if self.teacher is not None and self.distill is None:
            raise ValueError("teacher: has no effect with distill none. Leave one out.")
        return self

    def default_id(self, parents: dict[str, Run]) -> str:
        return f"{parents['parent'].id}-pruned"

    def run(self, run: Run, parents: dict[str, Run], data: Any) -> dict:
        from .. import artifact
        from ..data.load import Loader
        from ..launch import here
        from ..measure.evaluate import evaluate
        from ..prune.channels import loss_gradients
        from ..prune.prune import prune
        from ..runs import read_json
        from ..train.precision import resolve_precision
        from .dropping import with_drops
        from .objective import word_training
        from .results import describe_model, describe_training, measure_best_and_last
        from .start import choose_device, open_pictures, resolve
        from .training import Training, evaluation_loader
        from .unfinished import note_model

        parent = parents["parent"]
        description = read_json(parent.folder / "model.json")
        model, builder = with_drops(self, artifact.load(parent), description["builder"], description["attributes"])
        train, val = open_pictures(self, run, data, model.preprocess)
        kind, budget = ("params", self.params) if self.params else ("macs", self.macs)
        criterion, gradients = criteria.get(self.criterion.name), None
        if getattr(criterion, "needs_gradients", False):
            loader = Loader(train, batch_size=self.batch_size, seed=self.seed)
            gradients = loss_gradients(model, loader, net=model.net)
        report = prune(
            model.net,
            model.preprocess.shape,
            kind=kind,
            budget=budget,
            scope=self.scope,
            criterion=partial(criterion, **self.criterion.options),
            gradients=gradients,
            round_to=self.round_to,
            seed=self.seed,
        )
        if val is not None:
            scores = evaluate(model, evaluation_loader(val), data.classes, ranks=here())
            report["accuracy_before_fine_tuning"] = scores["accuracy"]
        report["criterion"] = self.criterion.name
        before, after = f"{report['before']:,}", f"{report['after']:,}"
        log.info("%s: %s of %s %s remain (budget %s)", run.id, after, before, kind, budget.text)
        if report["round_to"] != self.round_to:
            log.info("  channels in multiples of %d: at %d it misses the budget", report["round_to"], self.round_to)
        device = choose_device(run, self.device)
        precision = resolve(run, "precision", resolve_precision(self.precision, model.net, device))
        teacher = artifact.load(parents.get("teacher", parent)) if self.distill else None
        note_model(run, model, builder)
        training = Training(run, model, self, train=train, val=val, teacher=teacher, device=device, precision=precision)
        facts = training.to_best()
        artifact.save(run.folder, model, builder)
        before = parent.result["model"]
        words = word_training(self, [*before["trained"], "pruned"], distilled=teacher is not None)
        return {
            "model": describe_model(run, model, before["name"], words),
            "measured": measure_best_and_last(run, model, val, data),
            "training": describe_training(facts),
            "pruning": report,
        }
