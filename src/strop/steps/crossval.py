"""strop crossval: train once for each fold; every training picture is predicted by a model that never saw it."""

from __future__ import annotations

import statistics
from typing import Any, ClassVar

from pydantic import Field, model_validator

from ..errors import UserError
from ..runs import Run, link
from .step import log
from .train import Train

FIGURES = ("accuracy", "macro_recall", "macro_f1", "loss")
NOTE = (
    "Mean and sd are over the folds. `best` chose its epoch on the fold it is measured on, which flatters it a little; "
    "`last` chose nothing. Test pictures were not looked at. There is no model of all folds: train one on all pictures."
)
BIASED = "these figures are too good, and no estimate for new pictures."


class CrossValidate(Train):
    """Cross-validate: train once for each of k folds, and give mean and sd of what the held-out parts say.

    Example: strop crossval data/ --model resnet18 --folds 5 --epochs 30
    """

    verb: ClassVar[str] = "crossval"

    folds: int = Field(5, ge=2, le=100, description="parts that the training pictures are divided into")

    @model_validator(mode="after")
    def _one_fold_each(self) -> CrossValidate:
        for name, value in (("fold", self.data.fold), ("rotate", self.rotate)):
            if value is not None:
                raise ValueError(f"{name}: has no effect here; each fold is held out once. Leave it out.")
        return self

    def default_id(self, parents: dict[str, Run]) -> str:
        return f"{super().default_id(parents)}-crossval"

    def open_data(self, parents: dict[str, Run]) -> Any:
        from .auditing import audit_at_start

        first = self.data.model_copy(update={"fold": f"1/{self.folds}"})  # says now what can't be divided
        return audit_at_start(first.open(seed=self.seed), self.audit)

    def each(self) -> list[Train]:
        """A training for each fold; the data were audited before."""
        shared = {name: value for name, value in self.settings().items() if value is not None}
        for name in ("folds", "id", "out"):
            shared.pop(name, None)
        data = self.data.model_dump(mode="json", exclude_none=True)
        return [
            Train.model_validate(
                shared | {"id": f"fold-{k}", "audit": "off", "data": data | {"fold": f"{k}/{self.folds}"}}
            )
            for k in range(1, self.folds + 1)
        ]

    def run(self, run: Run, parents: dict[str, Run], data: Any) -> dict:
        from .auditing import tell_audit
        from .transfer import count_seen

        tell_audit(data)
        trained = []
        for k, step in enumerate(self.each(), 1):
            log.info("fold %d of %d", k, self.folds)
            trained.append(step.execute(root=run.folder / "folds"))
        held_out = [name for fold in trained for name in fold.data["validation"]["names"]]
        seen = {role: count_seen(parent.data, data.fingerprint, held_out) for role, parent in parents.items()}
        told = [f"The {role} was trained on {n} of the held-out pictures: {BIASED}" for role, n in seen.items() if n]
        return {"cross_validation": combine(trained, run), "note": " ".join([NOTE, *told])}

    def present(self, run: Run) -> None:
        """The confusion matrix of all held-out parts together."""
        from ..report.charts import confusion_matrix

        pooled = run.result["cross_validation"]["best"]["pooled"]
        title = f"{run.id}: {pooled['n']} pictures, each held out once"
        confusion_matrix(pooled["confusion"], pooled["classes"], run.folder / "confusion_matrix.png", title)


def combine(trained: list[Run], run: Run) -> dict:
    """The `cross_validation` block: for the best and the last epoch mean, sd and the confusion of all folds together.

    The sd is that of a sample, over k - 1. `pooled` counts each picture once.
    """
    import numpy as np

    from ..measure.metrics import score

    results = [fold.result["measured"] for fold in trained]
    if not all(results):
        raise UserError("data", "a fold has no validation pictures. Give more pictures, or fewer folds.")
    block: dict[str, Any] = {"folds": len(trained)}
    for number, checkpoint in enumerate(("best", "last")):
        entries = [measured[number] for measured in results]
        classes = entries[0]["classes"]
        figures = {name: _mean_and_sd([entry[name] for entry in entries]) for name in FIGURES}
        pooled = score(np.sum([entry["confusion"] for entry in entries], axis=0), classes)
        block[checkpoint] = {**figures, "pooled": {"classes": classes, **pooled}}
    block["runs"] = [
        link(fold, run.folder) | {"fold": f"{k}/{len(trained)}", "accuracy": fold.result["measured"][0]["accuracy"]}
        for k, fold in enumerate(trained, 1)
    ]
    return block


def _mean_and_sd(values: list[float]) -> dict[str, float]:
    return {"mean": round(statistics.fmean(values), 6), "sd": round(statistics.stdev(values), 6)}
