"""The `explained` block of an evaluation, and its pictures: worst errors, confused classes, doubts, Grad-CAM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..audit.doubts import doubt_labels
from ..data.dataset import Data
from ..measure.explaining import WORST, grad_cam, last_map, most_confused, worst_errors
from ..report.charts import prediction_grid
from ..report.evaluation_charts import overlay
from .columns import Column
from .subjects import Subject, open_split

NO_CAM = "an ONNX file has no gradients; evaluate the run in torch that it came from"
NO_MAP = "the network has no convolution behind its first layers"


def explain(folder: Path, subject: Subject, column: Column, data: Data) -> dict[str, Any]:
    """What went wrong on the pictures of a column; writes errors.png, doubts.png and cam.png where there is something.

    Label errors are doubted as in the audit, by this network's probabilities: on pictures that it did not train on.
    """
    split, answers = column.scores["split"], column.answers
    names, shown = data.names(split), open_split(data, split, subject.preprocess)
    errors = worst_errors(answers, names, data.classes)
    doubts = _doubts(column, names, data.classes)
    files = []
    for file, rows, said_as in (("errors.png", errors, "predicted"), ("doubts.png", doubts, "likely")):
        if rows:
            prediction_grid(list(_pictures(shown, rows).numpy()), _captions(rows, said_as), folder / file)
            files.append(file)
    cam = _cam(folder / "cam.png", subject, shown, errors)
    return {
        "split": split,
        "errors": errors,
        "confused": most_confused(column.scores["confusion"], data.classes),
        "doubts": doubts,
        "cam": cam,
        "files": [*files, *(["cam.png"] if "layer" in cam else [])],
    }


def _doubts(column: Column, names: Any, classes: tuple[str, ...]) -> list[dict]:
    answers = column.answers
    temperature = column.scores.get("temperature") or 1.0
    p = (torch.from_numpy(answers.logits) / temperature).softmax(1).double().numpy()
    targets = answers.targets[answers.kept]
    margins = doubt_labels(p, targets)
    order = [i for i in np.argsort(-margins, kind="stable")[:WORST] if np.isfinite(margins[i])]
    rows = []
    for i in order:
        others = p[i].copy()
        others[targets[i]] = 0
        place = int(answers.kept[i])
        rows.append(
            {
                "index": place,
                "name": names[place],
                "true": classes[targets[i]],
                "likely": classes[others.argmax()],
                "confidence": float(others.max()),
                "margin": float(margins[i]),
            }
        )
    return rows


def _cam(file: Path, subject: Subject, shown: Any, errors: list[dict]) -> dict[str, Any]:
    """Draw what spoke for the wrong class in the worst errors; says why where it can't be."""
    if subject.model is None:
        return {"method": None, "note": NO_CAM}
    if not errors:
        return {"method": None, "note": "there are no errors"}
    model, images = subject.model, _pictures(shown, errors)
    x = model.normalize(images.to(model.scale.device))
    layer = last_map(model.net, x[:1])
    if layer is None:
        return {"method": None, "note": NO_MAP}
    said = torch.tensor([model.classes.index(row["predicted"]) for row in errors], device=x.device)
    maps = grad_cam(model.net, layer, x, said)
    pictures = [overlay(image, cam) for image, cam in zip(images.numpy(), maps, strict=True)]
    prediction_grid(pictures, _captions(errors, "predicted"), file)
    return {"method": "Grad-CAM", "layer": layer}


def _pictures(shown: Any, rows: list[dict]) -> torch.Tensor:
    return shown.batch(torch.tensor([row["index"] for row in rows]))


def _captions(rows: list[dict], said: str) -> list[dict]:
    return [{"class": row[said], "probability": row["confidence"], "truth": row["true"]} for row in rows]
