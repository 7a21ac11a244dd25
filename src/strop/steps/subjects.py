"""Whatever can be measured, as one callable: a float run, a quantized run, or an exported file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .. import artifact
from ..data.load import pictures
from ..deploy import classify
from ..deploy.classify import to_channels_last
from ..deploy.runtime import OnnxModel
from ..errors import UserError
from ..models.classifier import Classifier, Preprocess
from ..runs import Run, read_json
from ..train.precision import resolve_device
from .runtimes import open_file
from .whole import log_probabilities


@dataclass(frozen=True)
class Subject:
    """A model that takes uint8 pictures (B, C, S, S) and gives logits or log-probabilities (B, K).

    Attributes:
        model: of a float run the network in torch, None for a file.
        gives_logits: False for an exported file, which gives log-probabilities.
        temperature: that an exported file divides its logits by.
    """

    predict: object
    preprocess: Preprocess
    classes: tuple[str, ...]
    runtime: str
    model: Classifier | None = None
    gives_logits: bool = True
    temperature: float | None = None

    def __call__(self, images: Tensor) -> Tensor:
        return self.predict(images)


def open_subject(run: Run, *, device: str = "cpu", threads: int = 0, runtime: str = "onnxruntime") -> Subject:
    """Load what a run folder holds. Raises UserError where it holds no model.

    Args:
        device: for float runs, "auto", "cpu" or "cuda"; ONNX files run on the CPU.
        threads: of the runtime; 0 for all cores.
        runtime: of an ONNX file, "onnxruntime" or "openvino".
    """
    path = run.model_file
    if path.name == "model.safetensors":
        place = resolve_device(device)
        model = artifact.load(run).to(place)
        return Subject(lambda images: model(images.to(place)), model.preprocess, model.classes, "torch", model)
    if device.startswith("cuda"):
        raise UserError(f"--device {device}", f"'{run.id}' is an ONNX file and runs on the CPU. Leave the option out.")
    description = read_json(run.folder / "model.json")
    preprocess, classes = artifact.read_preprocess(description), tuple(description["classes"])
    session = open_file(runtime, path, threads)
    is_exported = session.dtype == np.uint8
    predict = _from_pixels(session) if is_exported else _from_floats(session, preprocess)
    temperature = session.about.preprocess.temperature if is_exported else None
    return Subject(predict, preprocess, classes, runtime, gives_logits=not is_exported, temperature=temperature)


def _from_pixels(session: OnnxModel):
    """An exported file: the preprocessing is in the graph, probabilities come out."""

    def predict(images: Tensor) -> Tensor:
        return log_probabilities(torch.from_numpy(session(to_channels_last(images.numpy()))))

    return predict


def _from_floats(session: OnnxModel, preprocess: Preprocess):
    """A quantized run: normalised floats in, logits out."""

    def predict(images: Tensor) -> Tensor:
        return torch.from_numpy(session(normalize(images.numpy(), preprocess)))

    return predict


def open_split(data, split: str, preprocess: Preprocess):
    """The pictures of a split as a model takes them: by its own preprocessing, without augmentation."""
    return pictures(data, split, size=preprocess.input_size, channels=preprocess.channels)


def normalize(images: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """(pixel / 255 - mean) / std, (B, C, H, W) uint8 to float32."""
    return classify.normalize(images, preprocess.mean, preprocess.std)


def write_description(folder: Path, parent: Run, **more) -> None:
    """model.json of a file that has no builder: the preprocessing and the classes of its parent."""
    from ..runs import write_json

    about = read_json(parent.folder / "model.json")
    write_json(
        folder / "model.json", {"format": 1, "preprocess": about["preprocess"], "classes": about["classes"], **more}
    )
