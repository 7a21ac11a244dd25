"""Distil, prune and quantize a ResNet-18 on Fashion-MNIST: what each costs in accuracy, and the controls beside it.

    python benchmarks/compression.py                             # 12,000 training pictures, 3 seeds, 32 px: two hours
    python benchmarks/compression.py --pictures 60000 --device cuda
    python benchmarks/compression.py --curve                     # when pruning pays: fewer epochs, both ways
    python benchmarks/compression.py --speed                     # bytes and latency only, at 32 and 224 px

Stop it at any time: the same command goes on, what is there is not made again, and the table shows what there is.
Accuracy is that of the exported file on the 10,000 test pictures, which chose nothing: each model is the epoch that was
best on a tenth of the training pictures. What a row is held against was fixed before anything was run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

import strop
from strop.data import open_data
from strop.data.load import Loader, pictures

EPOCHS, MORE_EPOCHS, QAT_EPOCHS = 12, 10, 2
CURVE = (1, 3, 22)
OTHER_CRITERIA = ("magnitude", "taylor", "bn-gamma", "random")
OTHER_WAYS = (("ranks (svd)", "svd"), ("zeros (unstructured)", "unstructured"))
AUGMENT = "hflip+crop:pixels=2"
LOSS = "dist"  # of the fine-tuning and of its controls
SHARE = "9%"  # of the parameters, that pruning leaves


class Row(NamedTuple):
    """A kind of model.

    Attributes:
        step, options: what makes it; "parent" and "teacher" name rows.
        against: the row that it is held against.
        seeds: made with every seed, not with the first alone.
        beside, control: the row whose step makes this one too, and what that calls it.
    """

    name: str
    step: type[strop.Train | strop.Prune | strop.Quantize] | None = None
    options: dict = {}
    against: str | None = None
    seeds: bool = False
    beside: str | None = None
    control: str | None = None


class Measured(NamedTuple):
    """Of one exported file: its size, and whether each test picture was right, (N,) bool."""

    bytes: int
    parameters: int
    right: np.ndarray


def main() -> None:
    options = parse(sys.argv[1:])
    if options.speed:
        return measure_speed(options.out)
    data = options.out / f"fashion-{options.pictures}"
    write_pictures(data, options.pictures)
    table = rows(data, options.device)
    if options.curve:
        table = [row for row in table if row.name in ("dense", "pruned")] + curve(data, options.device)
    for seed in range(options.seeds):
        for row in table:
            if (row.seeds or not seed) and (not options.only or row.name in options.only):
                measure(row, seed, options.out)
                print_table(table, options.out, options.seeds)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("compression"), help="folder of pictures and runs")
    parser.add_argument("--pictures", type=int, default=12_000, help="of the 60,000, the same number of each class")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="these rows, by name")
    parser.add_argument("--curve", action="store_true", help="pruned and from scratch, after the same few epochs")
    parser.add_argument("--speed", action="store_true", help="bytes and latency at 32 and 224 px, with random weights")
    return parser.parse_args(arguments)


def shown(data: Path, side: int) -> dict:
    """The pictures as a network of this side sees them, a tenth held out."""
    return {"source": str(data), "validation": "10%", "input_size": side}


def rows(data: Path, device: str) -> list[Row]:
    """All rows, each after those that it is made of."""
    train = {"epochs": EPOCHS, "augment": AUGMENT, "device": device, "model": "resnet18"}
    small, large = shown(data, 32), shown(data, 48)
    prune = {"parent": "dense", "params": SHARE, "epochs": MORE_EPOCHS, "augment": AUGMENT, "device": device}
    prune["distill"] = LOSS
    aware = {"epochs": QAT_EPOCHS, "augment": AUGMENT, "device": device}
    return [
        Row("dense", strop.Train, {"data": small, **train}, seeds=True),
        Row("dense int8", strop.Quantize, {"parent": "dense"}, "dense", seeds=True),
        Row("pruned", strop.Prune, {**prune, "controls": True}, "dense", seeds=True),
        Row("pruned int8", strop.Quantize, {"parent": "pruned"}, "pruned", seeds=True),
        Row("its shape from scratch", against="pruned", seeds=True, beside="pruned", control="scratch"),
        Row("dense, trained longer", against="dense", seeds=True, beside="pruned", control="longer"),
        Row("teacher at 48 px", strop.Train, {"data": large, **train}, "dense"),
        Row("distilled", strop.Train, {"data": small, "teacher": "teacher at 48 px", **train}, "dense", seeds=True),
        *(Row(f"pruned by {name}", strop.Prune, {**prune, "criterion": name}, "pruned") for name in OTHER_CRITERIA),
        *(Row(name, strop.Prune, {**prune, "method": way}, "pruned", seeds=True) for name, way in OTHER_WAYS),
        Row("pruned, 48 px teaches", strop.Prune, {**prune, "teacher": "teacher at 48 px"}, "pruned"),
        Row("dense int8, QAT", strop.Quantize, {"parent": "dense", **aware}, "dense int8"),
        Row("pruned int8, QAT", strop.Quantize, {"parent": "pruned", **aware}, "pruned int8"),
        Row("pruned w4", strop.Quantize, {"parent": "pruned", "scheme": "w4"}, "pruned"),
    ]


def curve(data: Path, device: str) -> list[Row]:
    """The pruned shape after a few epochs with the weights it kept and with new ones, taught by the dense parent."""
    same = {"augment": AUGMENT, "device": device, "distill": LOSS}
    fresh = {"data": shown(data, 32), "parent": "pruned", "teacher": "dense", "fresh": True, **same}
    found = []
    for epochs in CURVE:
        prune = {"parent": "dense", "params": SHARE, "epochs": epochs, **same}
        found.append(Row(f"pruned, {epochs} epochs", strop.Prune, prune, "dense", seeds=True))
    for epochs in (*CURVE, MORE_EPOCHS):
        kept = "pruned" if epochs == MORE_EPOCHS else f"pruned, {epochs} epochs"
        found.append(Row(f"scratch, {epochs} epochs", strop.Train, fresh | {"epochs": epochs}, kept, seeds=True))
    return found


def write_pictures(folder: Path, n: int) -> None:
    """Fashion-MNIST as PNG files in folders of classes: of train the first n / 10 pictures of each, all of test."""
    if (folder / "done").exists():
        return
    data = open_data("fashion-mnist", validation="0%", near_copies="false")
    for split, most in (("train", n // len(data.classes)), ("test", len(data.splits["test"]))):
        kept = Counter()
        for i, (picture, label) in enumerate(pixels(data, split)):
            kept[label] += 1
            if kept[label] <= most:
                place = folder / split / data.classes[label] / f"{i:05d}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(place)
    (folder / "done").touch()


def pixels(data, split: str) -> Iterator[tuple[np.ndarray, int]]:
    """Each picture of a split, (28, 28) uint8, and its label, in order."""
    for batch in Loader(pictures(data, split, size=28, channels=1), batch_size=1000, seed=0, shuffle=False).epoch(0):
        yield from zip(batch.images[:, 0].numpy(), batch.targets.tolist(), strict=True)


def measure(row: Row, seed: int, out: Path) -> None:
    """Make the model of a row, its exported file, and what the file says to each test picture, as far as missing."""
    model = model_of(row, seed, out)
    export, tested = beside(model, "file"), beside(model, "tested")
    if not is_complete(model):
        parents = {role: find(row.options[role], seed, out) for role in ("parent", "teacher") if role in row.options}
        fixed = row.step is strop.Quantize and "epochs" not in row.options
        row.step(**row.options | parents, out=str(model), **({} if fixed else {"seed": seed})).execute()
    if not is_complete(export):
        strop.Export(parent=str(model), out=str(export)).execute()
    if not is_complete(tested):
        strop.Evaluate(parent=str(export), split="test", out=str(tested)).execute()


def model_of(row: Row, seed: int, out: Path) -> Path:
    if row.control:
        maker = folder(row.beside, seed, out)
        return maker / "controls" / f"{maker.name}-{row.control}"
    return folder(row.name, seed, out)


def folder(name: str, seed: int, out: Path) -> Path:
    words = "".join(letter for letter in name if letter not in "(),")
    return out / "runs" / f"{words.replace(' ', '-')}-{seed}"


def beside(model: Path, what: str) -> Path:
    return model.with_name(f"{model.name}-{what}")


def find(name: str, seed: int, out: Path) -> str:
    """The run of a row with this seed, or, where only one was made, with the first."""
    return str(next(filter(is_complete, (folder(name, seed, out), folder(name, 0, out)))))


def is_complete(run: Path) -> bool:
    return (run / "run.json").is_file() and json.loads((run / "run.json").read_text())["status"] == "complete"


def read(row: Row, seed: int, out: Path) -> Measured | None:
    """What was measured for a row and seed; None while it is missing."""
    model = model_of(row, seed, out)
    tested = beside(model, "tested")
    if not is_complete(tested):
        return None
    table = pq.read_table(tested / "predictions.parquet", columns=["true", "predicted"])
    right = np.array(table["true"].to_pylist()) == np.array(table["predicted"].to_pylist())
    about = json.loads((beside(model, "file") / "result.json").read_text())["model"]
    return Measured((beside(model, "file") / "model.onnx").stat().st_size, about["parameters"], right)


def print_table(table: list[Row], out: Path, seeds: int) -> None:
    """Accuracy as mean of the seeds (least to greatest), and the paired difference to the row beside it."""
    print("\n| row | seeds | parameters | bytes | accuracy % | against | points (95 %) | verdict |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    found = {row.name: {s: m for s in range(seeds) if (m := read(row, s, out))} for row in table}
    for row in table:
        if own := found[row.name]:
            accuracies = [100 * measured.right.mean() for measured in own.values()]
            spread = f" ({min(accuracies):.2f}-{max(accuracies):.2f})" if len(own) > 1 else ""
            first = next(iter(own.values()))
            print(
                f"| {row.name} | {len(own)} | {first.parameters:,} | {first.bytes:,} "
                f"| {statistics.mean(accuracies):.2f}{spread} | {held_against(row, own, found)} |"
            )


def held_against(row: Row, own: dict[int, Measured], found: dict[str, dict[int, Measured]]) -> str:
    """The last three cells of a row.

    d = mean over the pictures of d_i, d_i = mean over the seeds of (right here - right there) on picture i, with the
    interval d +- 1.96 sd(d_i) / sqrt(N). A picture counts once, however many seeds answered it.
    """
    seeds = sorted(own.keys() & found.get(row.against, {}).keys())
    if not seeds:
        return f"{row.against or ''} | | "
    each = 100 * np.mean([own[s].right.astype(float) - found[row.against][s].right for s in seeds], axis=0)
    difference, half = each.mean(), 1.96 * each.std(ddof=1) / len(each) ** 0.5
    low, high = difference - half, difference + half
    verdict = "better" if low > 0 else "worse" if high < 0 else "not told apart"
    return f"{row.against} | {difference:+.2f} ({low:+.2f} to {high:+.2f}) | {verdict}"


def measure_speed(out: Path) -> None:
    """The dense file in float against the pruned one in int8, of networks that have learned nearly nothing."""
    for side in (32, 224):
        place = out / "speed" / str(side)
        data = {"source": "fashion-mini", "validation": "10%", "input_size": side}
        made: dict[str, str] = {
            name: str(place / name) for name in ("dense", "small", "int8", "dense-file", "int8-file")
        }
        strop.Train(data=data, model="resnet18", epochs=1, out=made["dense"]).execute()
        prune = {"params": SHARE, "epochs": 1, "distill": None}
        strop.Prune(parent=made["dense"], **prune, out=made["small"]).execute()
        strop.Quantize(parent=made["small"], images=64, calibrator="minmax", out=made["int8"]).execute()
        for name in ("dense", "int8"):
            strop.Export(parent=made[name], out=made[f"{name}-file"]).execute()
        files = [made["dense-file"], made["int8-file"]]
        strop.Bench(parents=files, out=str(place / "bench")).execute()
        rows, notes = strop.compare(*files, str(place / "bench"))
        print(f"{side} px:", *(f"{row.id} {row.bytes:,} bytes, p50 {row.p50} ms" for row in rows), *notes, sep="\n  ")


if __name__ == "__main__":
    main()
