"""strop predict: what a run or an exported file says to pictures."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from ..config import Command, RunReference
from ..errors import UserError
from ..runs import check_new_file

if TYPE_CHECKING:
    from .inputs import Input
    from .predictor import Predictor

MOST_SHOWN = 20
PIXELS_TOGETHER = 50_000_000  # that are held decoded, 3 bytes each: one picture of the largest size, or some of a phone


class Predict(Command):
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
    grid: str | None = Field(
        None, description="new PNG to draw the pictures in, with the truth where a folder tells it"
    )

    def execute(self) -> list[dict[str, Any]]:
        """A row for each picture, in their order: path, class, probability, and truth where it is known.

        Truth is the nearest folder above the picture that is called like a class, up to the folder that was searched.
        With `top` above 1 each has `top`: classes and probabilities, most probable first. A picture that can't be read
        has `error` instead of an answer.

        Raises:
            UserError: none of the pictures can be read.
        """
        from .inputs import find_inputs
        from .predictor import open_predictor

        if self.grid is not None:
            _check_grid(Path(self.grid))
        inputs = find_inputs(self.paths)
        model = open_predictor(self.parent)
        rows: list[dict[str, Any]] = []
        squares: list[Any] = []
        for start in range(0, len(inputs), self.batch_size):
            rows += self._answer(inputs[start : start + self.batch_size], model, squares)
        answered = [row for row in rows if "error" not in row]
        if not answered and len(rows) == 1:
            raise UserError(rows[0]["path"], rows[0]["error"])
        if not answered:
            raise UserError("predict", *(f"{row['path']}: {row['error']}" for row in rows[:MOST_SHOWN]))
        if self.grid is not None:
            from ..report.charts import prediction_grid

            prediction_grid(squares, answered, Path(self.grid))
        return rows

    def _answer(self, some: list[Input], model: Predictor, squares: list[Any]) -> list[dict[str, Any]]:
        """Rows of some pictures. Large ones are classified as soon as they fill the memory meant for them."""
        from ..data.picture import decode_pixels

        rows, pictures, answers = [], [], []
        for one in some:
            try:
                with one.open() as file:
                    pictures.append(decode_pixels(file, one.name, model.settings.alpha))
            except UserError as error:
                rows.append({"path": one.name, "error": " ".join(error.problems)})
            else:
                rows.append({"path": one.name})
            if one is some[-1] or sum(picture[..., 0].size for picture in pictures) > PIXELS_TOGETHER:
                answers += self._classify(pictures, model, squares)
                pictures = []
        found = iter(answers)
        for row, one in zip(rows, some, strict=True):
            if "error" not in row:
                row |= _name(next(found), model.classes, self.top)
            row |= _truth(one, model.classes)
        return rows

    def _classify(self, pictures: list[Any], model: Predictor, squares: list[Any]) -> list[list[float]]:
        """Probabilities of pictures; with a grid their squares are kept."""
        from ..data.geometry import fit_square

        if self.grid is not None:
            size, channels = model.settings.input_size, model.settings.channels
            squares += [fit_square(picture, size, channels) for picture in pictures]
        return model.classify(pictures).tolist() if pictures else []


def _check_grid(path: Path) -> None:
    """Refuse before the work what drawing would fail at."""
    if path.suffix.lower() != ".png":
        raise UserError(f"--grid {path}", "is drawn as PNG. Write a name that ends in .png.")
    check_new_file("grid", path)


def _name(probabilities: list[float], classes: tuple[str, ...], top: int) -> dict[str, Any]:
    order = sorted(range(len(classes)), key=probabilities.__getitem__, reverse=True)[:top]
    named = [{"class": classes[i], "probability": round(probabilities[i], 6)} for i in order]
    return named[0] | ({"top": named} if top > 1 else {})


def _truth(one: Input, classes: tuple[str, ...]) -> dict[str, str]:
    folders = (unicodedata.normalize("NFC", folder) for folder in one.folders)  # as class names are
    nearest = next((folder for folder in folders if folder in classes), None)
    return {} if nearest is None else {"truth": nearest}
