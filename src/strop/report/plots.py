"""A PNG of each plot of a page, in a folder beside it: what people paste into documents."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .evaluation_charts import reliability_diagram
from .model_charts import class_bars, weight_ridges
from .numbers import percent

if TYPE_CHECKING:
    from .models import Model

log = logging.getLogger("strop")
SOFTWARE = b"tEXtSoftware\x00strop"


def write_plots(models: Sequence[Model], folder: Path) -> list[Path]:
    """Draw fronts.png, and of each model ID-curves, -confusion, -classes, -reliability, -sensitivity and -weights.

    Raises:
        UserError: a file of such a name is there, and strop did not draw it.
    """
    plots = list(_plots(models))
    for name, _ in plots:
        path = folder / name
        if path.exists() and SOFTWARE not in path.read_bytes()[:1000]:
            raise UserError(str(path), "the file is there and strop did not draw it. Move it, or give --no-plots.")
    folder.mkdir(exist_ok=True)
    log.info("drawing %d plots", len(plots))
    for name, draw in plots:
        draw(folder / name)
    return [folder / name for name, _ in plots]


def _plots(models: Sequence[Model]) -> Iterator[tuple[str, Callable[[Path], None]]]:
    from .charts import confusion_matrix, fronts, train_details
    from .pruning_charts import sensitivity as draw_groups
    from .quantization_charts import sensitivity

    if sum(model.row.accuracy is not None for model in models) > 1:
        yield "fronts.png", lambda path: fronts([model.row for model in models], path)
    for model in models:
        name, row, measured = _file_name(model), model.row, model.row.measured or {}
        title = f"{row.id}: {percent(row.accuracy)} % of {measured.get('n', '?')} {measured.get('split')} pictures"
        if model.metrics:
            yield f"{name}-curves.png", lambda path, model=model: train_details(model.metrics, path)
        if measured.get("confusion") and measured.get("classes"):
            counts, classes = measured["confusion"], measured["classes"]
            yield f"{name}-confusion.png", lambda path, a=counts, b=classes, c=title: confusion_matrix(a, b, path, c)
        if measured.get("per_class"):
            found = measured["per_class"]
            yield f"{name}-classes.png", lambda path, a=found, b=title: class_bars(a, path, b)
        if measured.get("reliability"):
            yield f"{name}-reliability.png", lambda path, a=measured: reliability_diagram(a, path)
        about = model.result.get("quantization") or {}
        if about.get("sensitivity"):
            costs, kept = about["sensitivity"], about.get("kept") or {}
            yield f"{name}-sensitivity.png", lambda path, a=costs, b=kept: sensitivity(a, b, path)
        groups = (model.result.get("pruning") or {}).get("sensitivity")
        if groups:
            yield f"{name}-sensitivity.png", lambda path, a=groups: draw_groups(a, path)
        if model.weights:
            yield f"{name}-weights.png", lambda path, model=model: weight_ridges(model, path)


def _file_name(model: Model) -> str:
    """The row's id as a plain file name, with its number where something had to be replaced."""
    plain = "".join(c if c.isalnum() or c in "-_." else "_" for c in model.row.id).lstrip(".")[:80]
    return plain if plain == model.row.id else f"{model.number + 1}-{plain}"
