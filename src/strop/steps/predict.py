"""strop predict: what a run or an exported file says to pictures."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from ..config import RunReference, Strict
from ..errors import UserError
from ..runs import check_new_file


class Predict(Strict):
    """Classify pictures: files, folders, 'patterns/**/*.jpg', - (a picture or paths on stdin), http://HOST/PICTURE.

    An export is run without torch. Writes nothing, but for the grid that is asked for.

    Example: strop predict runs/resnet18-export photos/ --grid grid.png
    """

    verb: ClassVar[str] = "predict"
    positional: ClassVar[tuple[str, ...]] = ("parent", "paths")

    parent: RunReference = Field(description="run, export, or exported file")
    paths: Annotated[
        list[str],
        BeforeValidator(lambda value: [str(v) for v in value] if isinstance(value, list | tuple) else [str(value)]),
    ] = Field(min_length=1, description="files, folders, patterns, - or URLs")
    format: Literal["table", "csv", "json"] = Field("table", description="table, csv or json")
    top: int = Field(1, ge=1, le=1000, description="classes to name for each picture, most probable first")
    batch_size: int = Field(16, ge=1, le=4096, description="pictures decoded at a time")
    grid: str | None = Field(None, description="PNG to draw the pictures in, with truth where the folder tells it")

    def execute(self) -> list[dict[str, Any]]:
        """Predictions in the order of the pictures: path, class, probability, and truth where it is known.

        Truth is the name of the picture's folder, where that is one of the classes. With `top` above 1 each has `top`:
        classes and probabilities, most probable first.
        """
        from ..data.geometry import fit_square
        from ..data.picture import decode_pixels
        from .inputs import find_inputs
        from .predictor import open_predictor

        if self.grid is not None:
            _check_grid(Path(self.grid))
        inputs = find_inputs(self.paths)
        model = open_predictor(self.parent)
        rows: list[dict[str, Any]] = []
        squares = []
        for start in range(0, len(inputs), self.batch_size):
            some = inputs[start : start + self.batch_size]
            pictures = []
            for one in some:
                with one.open() as file:
                    pictures.append(decode_pixels(file, one.name, model.settings.alpha))
            answers = model.classify(pictures).tolist()
            rows += [_row(one, answer, model.classes, self.top) for one, answer in zip(some, answers, strict=True)]
            if self.grid is not None:
                size, channels = model.settings.input_size, model.settings.channels
                squares += [fit_square(picture, size, channels) for picture in pictures]
        if self.grid is not None:
            from ..report.charts import prediction_grid

            prediction_grid(squares, rows, Path(self.grid))
        return rows


def _check_grid(path: Path) -> None:
    """Refuse before the work what drawing would fail at."""
    if path.suffix.lower() != ".png":
        raise UserError(f"--grid {path}", "is drawn as PNG. Write a name that ends in .png.")
    check_new_file("grid", path)


def _row(one: Any, probabilities: list[float], classes: tuple[str, ...], top: int) -> dict[str, Any]:
    order = sorted(range(len(classes)), key=probabilities.__getitem__, reverse=True)[:top]
    named = [{"class": classes[i], "probability": round(probabilities[i], 6)} for i in order]
    row = {"path": one.name, **named[0]} | ({"top": named} if top > 1 else {})
    if one.file is None:
        return row
    folder = unicodedata.normalize("NFC", one.file.absolute().parent.name)  # as class names are
    return row | ({"truth": folder} if folder in classes else {})
