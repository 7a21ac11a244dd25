"""Run folders as strop writes them (docs/formats.md), without any model inside."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import pytest

CLASSES = ["bag", "boot", "coat", "dress", "pullover", "sandal", "shirt", "sneaker", "top", "trouser"]
MACHINE = {"processor": "Example CPU @ 2.0 GHz", "cores": 2, "memory_bytes": 25_000_000_000, "device": "cpu"}
VERSIONS = {"python": "3.11.7", "strop": "0.1.0", "torch": "2.15.0", "onnxruntime": "1.31.0"}


def hash_of(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def measure(accuracy: float, *, file_hash: str, file: str, split="test", classes=CLASSES, each=50, data="blake2b:d0"):
    """An entry of `measured`: round(accuracy * n) are right; some classes have more of the errors than others."""
    k = len(classes)
    confusion = [[each if i == j else 0 for j in range(k)] for i in range(k)]
    for error in range(round(k * each * (1 - accuracy))):
        true = (7 * error + (error // 5) % 3) % k
        confusion[true][true] -= 1
        confusion[true][(true + (1, 2, 4, 2)[error % 4]) % k] += 1
    return summarize(confusion, classes) | {
        "split": split,
        "checkpoint": "best",
        "runtime": "torch",
        "file": file,
        "hash": file_hash,
        "data": data,
    }


def summarize(confusion: list[list[int]], classes: list[str]) -> dict:
    n, right = sum(map(sum, confusion)), sum(row[i] for i, row in enumerate(confusion))
    z, p = 1.959964, right / n
    middle, spread = (p + z * z / (2 * n)), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    per_class = []
    for i, name in enumerate(classes):
        support, predicted = sum(confusion[i]), sum(row[i] for row in confusion)
        precision, recall = confusion[i][i] / max(1, predicted), confusion[i][i] / max(1, support)
        f1 = 2 * precision * recall / max(1e-12, precision + recall)
        per_class.append({"name": name, "precision": precision, "recall": recall, "f1": f1, "support": support})
    mean = {key: sum(c[key] for c in per_class) / len(classes) for key in ("precision", "recall", "f1")}
    scale = 1 + z * z / n
    return {
        "n": n,
        "accuracy": p,
        "accuracy_interval": [(middle - spread) / scale, (middle + spread) / scale],
        "interval_method": "Wilson 95%",
        "macro_precision": mean["precision"],
        "macro_recall": mean["recall"],
        "macro_f1": mean["f1"],
        "loss": 0.41,
        "confusion": confusion,
        "classes": list(classes),
        "per_class": per_class,
    }


class Folders:
    """Writes run folders into one directory.

    As in real runs a model's hash (file and model.json) is another than the hash of its file, which `measured` names.
    """

    classes = CLASSES
    measure = staticmethod(measure)
    summarize = staticmethod(summarize)

    def __init__(self, root: Path):
        self.root = root
        self.clock = 0

    def hash(self, id: str) -> str:
        return self.result(id)["model"]["hash"]

    def result(self, id: str) -> dict:
        return json.loads((self.root / id / "result.json").read_text())

    def write(self, id: str, verb: str, result: dict | None, *, parents=None, status="complete") -> Path:
        folder = self.root / id
        folder.mkdir(parents=True)
        self.clock += 1
        links = {
            role: {"id": parent, "path": f"../{parent}", "hash": self.hash(parent)}
            for role, parent in (parents or {}).items()
        }
        record = {
            "strop": "0.1.0",
            "id": id,
            "verb": verb,
            "status": status,
            "key": f"blake2b:{id}",
            "parents": links,
            "seed": 0,
            "started": f"2026-11-22T10:{self.clock // 60:02}:{self.clock % 60:02}+00:00",
            "seconds": 61.2,
            "command": f"strop {verb} {id}",
            "machine": MACHINE,
            "versions": VERSIONS,
            "git": {"commit": "0" * 40, "dirty": False},
        }
        (folder / "run.json").write_text(json.dumps(record))
        if result is not None:
            (folder / "result.json").write_text(json.dumps(result, ensure_ascii=False), encoding="utf-8")
        return folder

    def model(
        self,
        id: str,
        verb="train",
        *,
        accuracy=0.87,
        name="resnet18",
        trained=(),
        parameters=11_172_810,
        macs=457_000_000,
        size=None,
        file="model.safetensors",
        parents=None,
        epochs=12,
        measured=None,
        status="complete",
        classes=CLASSES,
        **more,
    ) -> Path:
        size = size or 4 * parameters + 3000
        model = {
            "name": name,
            "trained": list(trained),
            "input_size": [1, 28, 28],
            "parameters": parameters,
            "macs": macs,
            "macs_convention": "no bias",
            "file": file,
            "bytes": size,
            "hash": hash_of(id),
        }
        if measured is None:
            bound = {"file_hash": hash_of(f"file of {id}"), "file": file, "classes": classes}
            measured = [measure(accuracy - 0.004, split="val", data="blake2b:v0", **bound), measure(accuracy, **bound)]
        result = {"model": model, "measured": measured, **more}
        if epochs:
            result["training"] = {
                "epochs": epochs,
                "best_epoch": max(1, epochs - 1),
                "min_loss": 0.21,
                "final_loss": 0.22,
                "seconds": 48.8,
                "peak_memory_bytes": 900_000_000,
            }
        folder = self.write(id, verb, result, parents=parents, status=status)
        if epochs:
            (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in curve(epochs, accuracy)))
        return folder

    def export(self, id: str, of: str, *, accuracy=None, size=None) -> Path:
        parent = self.result(of)["model"]
        size = size or parent["bytes"] + 20_000
        model = parent | {"file": "model.onnx", "bytes": size, "hash": hash_of(id)}
        entry = measure(
            accuracy or self.result(of)["measured"][-1]["accuracy"],
            file_hash=hash_of(f"file of {id}"),
            file="model.onnx",
        ) | {"runtime": "onnxruntime"}
        return self.write(id, "export", {"model": model, "measured": [entry]}, parents={"parent": of})

    def evaluate(self, id: str, of: str, accuracy: float, **options) -> Path:
        model = self.result(of)["model"]
        entry = measure(accuracy, file_hash=hash_of(f"file of {of}"), file=model["file"], **options)
        return self.write(id, "evaluate", {"measured": [entry]}, parents={"parent": of})

    def bench(self, id: str, times: dict[str, float], *, p95_over_p50=1.2) -> Path:
        rows = [
            {
                "id": of,
                "hash": self.hash(of),
                "runtime": "onnxruntime",
                "threads": 1,
                "latency_ms": {"p50": p50, "p95": round(p50 * p95_over_p50, 4), "n": 200},
                "images_per_second": {"batch": 64, "value": round(2100 / p50, 1), "n": 20},
            }
            for of, p50 in times.items()
        ]
        noise = {"p95_over_p50": p95_over_p50, "quiet": p95_over_p50 <= 1.5}
        return self.write(id, "bench", {"bench": rows, "noise": noise}, parents={of: of for of in times})


def curve(epochs: int, accuracy: float) -> list[dict]:
    """Training curves that rise towards `accuracy`; training with augmentation stays a little lower."""
    lines = []
    for epoch in range(1, epochs + 1):
        rest = math.exp(-0.35 * epoch)
        wobble = 0.006 * math.sin(2.3 * epoch)
        val, train = accuracy - 0.4 * rest + wobble, accuracy + 0.01 - 0.48 * rest
        lines.append(
            {
                "epoch": epoch,
                "lr": 0.05,
                "seconds": 4.1,
                "images_per_second": 1200.0,
                "train": {"loss": 0.35 + 1.6 * rest, "accuracy": train, "recall": train - 0.002},
                "val": {"loss": 0.42 + 1.2 * rest - wobble, "accuracy": val, "recall": val - 0.003},
            }
        )
    return lines


@pytest.fixture
def folders(tmp_path) -> Folders:
    """An empty directory of run folders."""
    (tmp_path / "runs").mkdir()
    return Folders(tmp_path / "runs")


@pytest.fixture
def family(folders) -> tuple[Folders, list[Path]]:
    """Teacher, student, pruned, two int8 (of student and pruned), their exports, one bench."""
    return folders, write_family(folders)


def write_family(folders: Folders) -> list[Path]:
    taught = {"teacher": "teacher"}
    paths = [
        folders.model("teacher", accuracy=0.876, name="resnet50", parameters=23_521_000, macs=1_310_000_000, epochs=16),
        folders.model("student", accuracy=0.880, trained=["L2", "distilled"], parents=taught),
        folders.model(
            "small",
            "prune",
            accuracy=0.868,
            trained=["L2", "distilled", "pruned"],
            parameters=986_042,
            macs=41_000_000,
            parents={"parent": "student", **taught},
            epochs=10,
            pruning={
                "budget": "9%",
                "criterion": "group L2",
                "parameters_before": 11_172_810,
                "parameters_after": 986_042,
                "round_to": 16,
                "accuracy_before_fine_tuning": 0.31,
            },
        ),
        folders.model(
            "student-int8",
            "quantize",
            accuracy=0.878,
            trained=["L2", "distilled", "int8"],
            size=11_340_000,
            file="model.onnx",
            parents={"parent": "student"},
            epochs=0,
            quantization={"scheme": "int8", "calibrator": "minmax", "images": 512},
        ),
        folders.model(
            "small-int8",
            "quantize",
            accuracy=0.864,
            trained=["L2", "distilled", "pruned", "int8"],
            parameters=986_042,
            macs=41_000_000,
            size=1_020_000,
            file="model.onnx",
            parents={"parent": "small"},
            epochs=0,
            quantization={"scheme": "int8", "calibrator": "minmax", "images": 512},
        ),
    ]
    for path in paths:
        folders.export(f"{path.name}-onnx", path.name)
    folders.bench(
        "bench",
        {
            "teacher-onnx": 9.84,
            "student-onnx": 3.12,
            "small-onnx": 0.61,
            "student-int8-onnx": 1.42,
            "small-int8-onnx": 0.67,
        },
    )
    return paths
