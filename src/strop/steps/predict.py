"""strop predict: what a run or an exported file says to pictures."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from ..config import RunReference, Strict
from ..errors import UserError
from ..runs import Run, check_new_file


class Predict(Strict):
    """Classify picture files or folders of them. Writes nothing, but for the grid that is asked for.

    Example: strop predict runs/resnet18-export photos/ --grid grid.png
    """

    verb: ClassVar[str] = "predict"
    positional: ClassVar[tuple[str, ...]] = ("parent", "paths")

    parent: RunReference = Field(description="run or export")
    paths: Annotated[
        list[str],
        BeforeValidator(lambda value: [str(v) for v in value] if isinstance(value, list | tuple) else [str(value)]),
    ] = Field(min_length=1, description="files or folders")
    grid: str | None = Field(None, description="PNG to draw the pictures in, with truth where the folder tells it")

    def execute(self) -> list[dict[str, Any]]:
        """Predictions in the order of the files: path, class, probability, and truth where it is known.

        Truth is the name of the picture's folder, where that is one of the classes.
        """
        from ..data.geometry import fit_square
        from ..data.picture import read_pixels

        run = Run.open(self.parent)
        if self.grid is not None:
            _check_grid(Path(self.grid))
        files = find_pictures(self.paths)

        from .subjects import open_subject  # torch; what is refused does not wait for it
        from .temperature import temperature_to_use

        subject = open_subject(run)
        temperature = 1.0 if run.record["verb"] == "export" else temperature_to_use(run)
        size, channels = subject.preprocess.input_size, subject.preprocess.channels
        squares = [fit_square(read_pixels(file, subject.preprocess.alpha), size, channels) for file in files]
        rows = [
            _row(file, log_odds, subject.classes)
            for file, log_odds in zip(files, _classify(subject, squares, temperature), strict=True)
        ]
        if self.grid is not None:
            from ..report.charts import prediction_grid

            prediction_grid(squares, rows, Path(self.grid))
        return rows


def _check_grid(path: Path) -> None:
    """Refuse before the work what drawing would fail at."""
    if path.suffix.lower() != ".png":
        raise UserError(f"--grid {path}", "is drawn as PNG. Write a name that ends in .png.")
    check_new_file("grid", path)


def find_pictures(paths: list[str]) -> list[Path]:
    """The picture files among paths, folders searched through. Raises UserError for paths that give none."""
    from ..data.formats import EXTENSIONS

    found, problems = [], []
    for path in map(Path, paths):
        inside = _search(path) if path.is_dir() else [path]
        if not path.exists():
            problems.append(f"{path}: no such file or folder.")
        elif not inside:
            problems.append(f"{path}: no pictures in this folder ({', '.join(sorted(EXTENSIONS))}).")
        found += inside
    if problems:
        raise UserError("predict", *problems)
    return found


def _search(folder: Path) -> list[Path]:
    """Pictures below a folder, sorted; hidden files and what lies in hidden folders are passed over."""
    from ..data.formats import is_picture_name

    shown = (path for path in folder.rglob("*") if not any(p.startswith(".") for p in path.relative_to(folder).parts))
    return sorted(path for path in shown if is_picture_name(path.name) and path.is_file())


def _classify(subject: Any, squares: list, temperature: float) -> list:
    import numpy as np
    import torch

    with torch.inference_mode():
        batches = (torch.from_numpy(np.stack(squares[i : i + 64])) for i in range(0, len(squares), 64))
        return [row for batch in batches for row in (subject(batch).float() / temperature).softmax(1).tolist()]


def _row(file: Path, probabilities: list[float], classes: tuple[str, ...]) -> dict[str, Any]:
    best = max(range(len(classes)), key=probabilities.__getitem__)
    row = {"path": str(file), "class": classes[best], "probability": round(probabilities[best], 6)}
    folder = unicodedata.normalize("NFC", file.absolute().parent.name)  # as class names are
    return row | ({"truth": folder} if folder in classes else {})
