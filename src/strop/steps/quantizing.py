"""Quantized files of one float run: written, measured on validation pictures, and chosen between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from ..data.stores import Pictures
from ..deploy.runtime import OnnxModel
from ..errors import GateFailed
from ..quantize import search
from ..quantize.calibration import choose_balanced
from ..quantize.correct import Means, correct_biases
from ..quantize.layers import Layer, find_layers
from ..quantize.ranges import CALIBRATORS, read_ranges
from ..quantize.static import Ranges, quantize
from ..quantize.weights import FLOAT

BATCH = 64


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
        scores = self._score(parent)
        self.answers = scores.pop("answers")
        self.float = scores

    def fewer(self, count: int, seed: int) -> Judge:
        """One for about `count` of the pictures, the same number a class; itself where there are no more."""
        if self.n <= count:
            return self
        chosen = choose_balanced(self.pictures.labels.numpy(), count, seed=seed)
        return Judge(self.pictures, self.parent, self.normalize, chosen)

    def score(self, path: Path) -> dict:
        """`score_answers` of a file of normalised floats."""
        return self.score_answers(self._file(path))

    def _file(self, path: Path) -> Callable:
        model = OnnxModel(path)
        return lambda images: torch.from_numpy(model(self.normalize(images.numpy())))

    def score_answers(self, predict: Callable) -> dict:
        """accuracy, loss (cross-entropy in nats), and agreement: the share of pictures answered as the parent does."""
        scores = self._score(predict)
        alike = int((torch.cat(scores.pop("answers")) == torch.cat(self.answers)).sum())
        return scores | {"agreement": alike / self.n}

    def disagreements(self, path: Path, predict: Callable) -> tuple[int, int]:
        """Pictures that only the file, and pictures that only `predict`, answers rightly."""
        targets = torch.cat([self.pictures.labels[part] for part in self.parts])
        file, other = (torch.cat(self._score(one)["answers"]) == targets for one in (self._file(path), predict))
        return int((file & ~other).sum()), int((other & ~file).sum())

    def drop(self, scores: Mapping) -> float:
        """What was lost to the parent in accuracy; below 0 where it was gained."""
        return self.float["accuracy"] - scores["accuracy"]

    @torch.inference_mode()
    def _score(self, predict: Callable) -> dict:
        hits, loss, answers = 0, 0.0, []
        for part in self.parts:
            logits, targets = predict(self.pictures.batch(part)).float(), self.pictures.labels[part]
            loss += float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
            answers.append(logits.argmax(1))
            hits += int((answers[-1] == targets).sum())
        return {"accuracy": hits / self.n, "loss": loss / self.n, "answers": answers}


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


def choose_calibrator(writer: Writer, judge: Judge, histograms: Mapping, bits: int) -> list[dict]:
    """Scores with each calibrator, the best first: highest accuracy, then lowest loss, then minmax."""
    tried = []
    for name in CALIBRATORS:
        writer.ranges = read_ranges(histograms, name)
        tried.append({"name": name} | judge.score(writer.write(writer.uniform(bits))))
    return sorted(tried, key=lambda row: (-row["accuracy"], row["loss"]))


def measure_sensitivity(writer: Writer, judge: Judge, bits: int) -> list[dict]:
    """What it costs to quantize each layer alone, in the order of the graph."""
    rows = []
    for layer in writer.layers:
        scores = judge.score(writer.write({layer.name: bits}, only=layer))
        rows.append(
            {
                "layer": layer.name,
                "bits": bits,
                "n": judge.n,
                **scores,
                "accuracy_drop": judge.drop(scores),
                "loss_rise": scores["loss"] - judge.float["loss"],
            }
        )
    return rows


def hold_drop(writer: Writer, judge: Judge, sensitivity: list[dict], bits: int, max_drop: float) -> dict[str, int]:
    """Bits of each layer: as few layers in more bits as hold the drop, those that hurt most first.

    Args:
        max_drop: accuracy that may be lost, in points.
    Raises:
        GateFailed: it is lost even with all layers but one in float.
    """
    order = search.lifts(search.hurtful_first(sensitivity), bits)
    lost: dict[int, float] = {}

    def after(count: int) -> float:
        chosen = writer.uniform(bits) | dict(order[:count])
        lost[count] = 100 * judge.drop(judge.score(writer.write(chosen)))
        return lost[count]

    count = search.least(after, len(order), max_drop + 1e-9)
    if count is None:
        raise GateFailed(
            f"--max-drop {max_drop:g}: not held. On {judge.n} validation pictures {lost[0]:.2f} points are lost "
            f"with every layer quantized, and {lost[len(order)]:.2f} with all but one in float. "
            "Allow more, or try another calibrator or more --images."
        )
    return writer.uniform(bits) | dict(order[:count])


def fit_bytes(writer: Writer, sensitivity: list[dict], limit: int) -> dict[str, int]:
    """Bits of each layer, 8 or 4, so that the file is at or under the limit: the cheapest layers go to 4 first.

    Raises:
        GateFailed: the file is too large even with 4 bits everywhere.
    """
    saved = {layer.name: layer.size // 2 for layer in writer.layers}
    order = search.cheap_first(sensitivity, saved)
    size: dict[int, int] = {}

    def after(count: int) -> int:
        size[count] = writer.write(writer.uniform(8) | dict.fromkeys(order[:count], 4)).stat().st_size
        return size[count]

    count = search.least(after, len(order), limit)
    if count is None:
        raise GateFailed(
            f"--bytes: the budget of {limit:,} bytes can't be met: {size[0]:,} are needed with 8 bits and "
            f"{size[len(order)]:,} with 4 bits in every layer. Give a larger budget, or prune first."
        )
    kept = search.give_back(order[:count], saved, limit - size[count])
    return writer.uniform(8) | dict.fromkeys(kept, 4)


def kept_in(bits: Mapping[str, int], usual: int) -> dict[str, list[str]]:
    """Names of the layers that got more bits than the scheme's."""
    names = {8: "int8", FLOAT: "float"}
    return {
        word: [layer for layer, given in bits.items() if given == number]
        for number, word in names.items()
        if number > usual
    }


def loss_report(judge: Judge, path: Path) -> dict:
    """What the file lost to its float parent, for result.json."""
    scores = judge.score(path)
    return {
        "float": judge.float,
        "file": {name: scores[name] for name in ("accuracy", "loss")},
        "agreement": scores["agreement"],
        "accuracy_drop": judge.drop(scores),
    }
