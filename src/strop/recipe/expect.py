"""What must hold when a recipe has run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from ..config import Strict, problems
from ..errors import GateFailed, suggest


class Expectation(Strict):
    """What a step's result must hold; accuracies in points of percent."""

    top1_drop_vs: str | None = Field(None, description="id of the step it is held against")
    at_most: float | None = Field(None, description="points that may be lost against it")
    top1_at_least: float | None = Field(None, ge=0, le=100, description="accuracy in %")

    @model_validator(mode="after")
    def _complete(self) -> Expectation:
        """An expectation that can't fail is a mistake."""
        if (self.top1_drop_vs is None) != (self.at_most is None):
            raise ValueError("top1_drop_vs: goes with at_most. Write {top1_drop_vs: ID, at_most: POINTS}.")
        if self.top1_drop_vs is None and self.top1_at_least is None:
            raise ValueError("top1_at_least: nothing is expected. Write for example {top1_at_least: 90}.")
        return self


def read_expectations(raw: Any, ids: list[str], found: list[str]) -> dict[str, Expectation]:
    if not isinstance(raw, dict):
        found.append(
            f"expect: {raw!r} is not readable. Write 'expect:' and below it 'ID: {{top1_at_least: 90}}' lines."
        )
        return {}
    expect = {}
    for name, options in raw.items():
        if name not in ids:
            found.append(f"expect.{name}: no step has this id. {suggest(str(name), ids)}")
            continue
        try:
            expect[name] = Expectation.model_validate(options)
        except ValidationError as error:
            found += problems(error, Expectation, prefix=f"expect.{name}.")
            continue
        versus = expect[name].top1_drop_vs
        if versus is not None and versus not in ids:
            found.append(f"expect.{name}.top1_drop_vs: no step has the id '{versus}'. {suggest(versus, ids)}")
    return expect


def hold(expect: dict[str, Expectation], made: dict[str, Path]) -> None:
    """Raise GateFailed with every expectation that the results do not keep.

    Args:
        made: folder of each step by its id; the folder's name may be another (small-2).
    """
    from ..report.rows import collect

    ids = {folder.resolve(): id for id, folder in made.items()}
    rows = collect(list(made.values())).rows
    accuracy = {ids[row.folder]: 100 * row.accuracy for row in rows if row.accuracy is not None}
    unmeasured = [name for name, wanted in expect.items() if not {name, wanted.top1_drop_vs or name} <= set(accuracy)]
    if unmeasured:
        raise GateFailed(f"expected, and not measured: {', '.join(unmeasured)} (no validation or test pictures)")
    broken = []
    for name, wanted in expect.items():
        if wanted.top1_drop_vs is not None and wanted.at_most is not None:
            drop = accuracy[wanted.top1_drop_vs] - accuracy[name]
            if drop > wanted.at_most:
                broken.append(f"{name} lost {drop:.2f} points against {wanted.top1_drop_vs}; at most {wanted.at_most}")
        if wanted.top1_at_least is not None and accuracy[name] < wanted.top1_at_least:
            broken.append(f"{name} reaches {accuracy[name]:.2f} %; at least {wanted.top1_at_least}")
    if broken:
        raise GateFailed("expected, and not reached: " + "; ".join(broken))
