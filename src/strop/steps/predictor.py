"""A model that takes decoded pictures of any size and gives probabilities; ONNX files without torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import UserError
from ..runs import Run, read_json
from .temperature import temperature_to_use

if TYPE_CHECKING:
    import numpy as np

    from ..deploy.settings import Settings


class Predictor(NamedTuple):
    """Call `classify` with a list of (H, W, 1 or 3) uint8 arrays; it gives (N, K) float32 probabilities."""

    classify: Callable[[list[np.ndarray]], np.ndarray]
    settings: Settings
    classes: tuple[str, ...]


def open_predictor(place: str) -> Predictor:
    """The model of a run folder, of an export folder or a copy of one, or in an exported file.

    Raises:
        UserError: there is none, or its files don't fit together.
    """
    path = Path(place)
    if path.suffix == ".onnx" and path.is_file():
        return _open_exported(path)
    if not (path / "run.json").is_file() and (path / "model.onnx").is_file():
        return _open_exported(path / "model.onnx")
    run = Run.open(place)
    if run.record["verb"] == "export":
        return _open_exported(run.model_file)
    return _open_quantized(run) if run.model_file.suffix == ".onnx" else _open_float(run)


def _open_exported(path: Path) -> Predictor:
    from ..deploy.classify import classify_whole
    from ..deploy.runtime import OnnxModel

    session = OnnxModel(path)
    if session.about is None:
        raise UserError(str(path), "is a bare network, which takes normalised floats. Give the folder that it is from.")
    names = path.with_name("classes.json")
    if names.is_file() and read_json(names) != session.about.classes:
        raise UserError(
            str(names), f"its names or their order are not those in {path.name}. See strop verify {path.parent}."
        )
    about = session.about
    return Predictor(lambda pictures: classify_whole(session, pictures), about.preprocess, tuple(about.classes))


def _open_quantized(run: Run) -> Predictor:
    from ..deploy.classify import classify_squares
    from ..deploy.runtime import OnnxModel

    settings, classes = _read_settings(run)
    session = OnnxModel(run.model_file)
    return Predictor(lambda pictures: classify_squares(session, pictures, settings), settings, classes)


def _open_float(run: Run) -> Predictor:
    import numpy as np
    import torch

    from ..data.geometry import fit_square
    from .subjects import open_subject

    settings, classes = _read_settings(run)
    subject = open_subject(run)

    def classify(pictures: list[np.ndarray]) -> np.ndarray:
        squares = [fit_square(picture, settings.input_size, settings.channels) for picture in pictures]
        with torch.inference_mode():
            logits = subject(torch.from_numpy(np.stack(squares))).float()
        return (logits / settings.temperature).softmax(1).numpy()

    return Predictor(classify, settings, classes)


def _read_settings(run: Run) -> tuple[Settings, tuple[str, ...]]:
    from ..deploy.settings import Settings

    about = read_json(run.folder / "model.json")
    return Settings(**about["preprocess"], temperature=temperature_to_use(run)), tuple(about["classes"])
