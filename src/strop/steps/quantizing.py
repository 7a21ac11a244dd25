"""Quantized files of one float run: written, measured on validation pictures, and chosen between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ..data.stores import Pictures
from ..deploy.runtime import OnnxModel
from ..quantize.calibration import choose_balanced
from ..quantize.correct import Means, correct_biases
from ..quantize.layers import Layer, find_layers
from ..quantize.ranges import CALIBRATORS, read_ranges
from ..quantize.static import Ranges, quantize
from .subjects import normalize, open_split

BATCH = 64


class Scores(NamedTuple):
    """What was answered to each picture, and how well: accuracy, and the cross-entropy in nats. Shape: answers (N,)."""

    answers: torch.Tensor
    accuracy: float
    loss: float


class Judge:
    """Scores files on validation pictures, beside the answers of the float parent on the same ones.

    Args:
        pictures: validation pictures.
        parent: uint8 (B, C, H, W) to logits (B, K).
        normalize: uint8 (B, C, H, W) arrays to what the files take.
        chosen: (M,) positions of those to score on; all by default.
    Attributes:
        float: {"accuracy", "loss"} of the parent on `n` pictures.
    """

    def __init__(self, pictures: Pictures, parent: Callable, normalize: Callable, chosen: np.ndarray | None = None):
        self.pictures, self.parent, self.normalize = pictures, parent, normalize
        self.n = len(pictures) if chosen is None else len(chosen)
        self.parts = (torch.arange(self.n) if chosen is None else torch.from_numpy(chosen)).split(BATCH)
        self.theirs = self.ask(parent)
        self.float = {"accuracy": self.theirs.accuracy, "loss": self.theirs.loss}

    def fewer(self, count: int, seed: int) -> Judge:
        """One for about `count` of the pictures, the same number a class; itself where there are no more."""
        if self.n <= count:
            return self
        chosen = choose_balanced(self.pictures.labels.numpy(), count, seed=seed)
        return Judge(self.pictures, self.parent, self.normalize, chosen)

    def score(self, path: Path) -> dict:
        """`describe` of a file of normalised floats."""
        return self.describe(self.ask_file(path))

    def describe(self, scores: Scores) -> dict:
        """accuracy, loss, and agreement: the share of pictures answered as the parent does."""
        alike = int((scores.answers == self.theirs.answers).sum())
        return {"accuracy": scores.accuracy, "loss": scores.loss, "agreement": alike / self.n}

    def only_right(self, one: Scores, other: Scores) -> tuple[int, int]:
        """Pictures that only the one, and pictures that only the other answers rightly."""
        targets = torch.cat([self.pictures.labels[part] for part in self.parts])
        first, second = one.answers == targets, other.answers == targets
        return int((first & ~second).sum()), int((second & ~first).sum())

    def drop(self, scores: Mapping) -> float:
        """What was lost to the parent in accuracy; below 0 where it was gained."""
        return self.float["accuracy"] - scores["accuracy"]

    def ask_file(self, path: Path) -> Scores:
        model = OnnxModel(path)
        return self.ask(lambda images: torch.from_numpy(model(self.normalize(images.numpy()))))

    @torch.inference_mode()
    def ask(self, predict: Callable) -> Scores:
        """Scores of what takes uint8 (B, C, H, W) and gives logits (B, K)."""
        hits, loss, answers = 0, 0.0, []
        for part in self.parts:
            logits, targets = predict(self.pictures.batch(part)).float(), self.pictures.labels[part]
            loss += float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
            answers.append(logits.argmax(1))
            hits += int((answers[-1] == targets).sum())
        return Scores(torch.cat(answers), hits / self.n, loss / self.n)


class Writer:
    """Writes quantized forms of one prepared file into a scratch folder.

    Attributes:
        ranges: of the activations; set before the first `write`.
        means: inputs of the layers, by which biases are corrected; None for biases as they are.
    """

    def __init__(self, prepared: Path):
        self.prepared, self.layers = prepared, find_layers(prepared)
        self.ranges: Ranges = {}
        self.means: Means | None = None

    def write(self, bits: Mapping[str, int], only: Layer | None = None) -> Path:
        path, source = self.prepared.with_name("candidate.onnx"), self.prepared
        if self.means is not None:
            source = self.prepared.with_name("corrected.onnx")
            correct_biases(self.prepared, source, [only] if only else self.layers, self.means, bits)
        quantize(source, path, self.ranges, bits=bits, only=only)
        return path

    def uniform(self, bits: int) -> dict[str, int]:
        return {layer.name: bits for layer in self.layers}


def calibration_pictures(step: Any, data: Any, preprocess: Any) -> tuple[int, Callable[[], Iterator[np.ndarray]]]:
    """How many training pictures a config of `strop quantize` calibrates on, and what gives them, normalised."""
    train = open_split(data, "train", preprocess)
    chosen = torch.from_numpy(choose_balanced(data.labels("train"), step.images, seed=step.seed))
    return len(chosen), lambda: (normalize(train.batch(part).numpy(), preprocess) for part in chosen.split(BATCH))


def choose_calibrator(writer: Writer, judge: Judge, histograms: Mapping, bits: int) -> list[dict]:
    """Scores with each calibrator, the best first: highest accuracy, then lowest loss, then minmax."""
    tried = []
    for name in CALIBRATORS:
        writer.ranges = read_ranges(histograms, name)
        tried.append({"name": name} | judge.score(writer.write(writer.uniform(bits))))
    return sorted(tried, key=lambda row: (-row["accuracy"], row["loss"]))


def loss_report(judge: Judge, file: Scores) -> dict:
    """What the file lost to its float parent, for result.json."""
    scores = judge.describe(file)
    return {
        "float": judge.float,
        "file": {"accuracy": file.accuracy, "loss": file.loss},
        "agreement": scores["agreement"],
        "accuracy_drop": judge.drop(scores),
    }
