"""Images per second of training: strop beside a plain torchvision loop, timm, Lightning and Ultralytics.

    python benchmarks/training.py --sizes 32 64 128
    python benchmarks/training.py --sizes 64 --rounds 5 --only strop torchvision timm

Work, for everybody: ResNet-18 (10 classes, RGB) on Fashion-MNIST PNG files of 28 px, random-resized crop, flip,
normalise, batches of 128, SGD with momentum and weight decay. Each contender lives in a process of its own, which
trains one epoch whenever it is told to; they take turns, so that what else the machine does hits all alike. A peer's
figure is that of its best setting: fp32 or bf16 with channels-last, and the number of workers that was fastest in a
trial before. "limit" trains on one batch that stays in memory: what the network alone costs, without any data.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

MEAN = STD = (0.5, 0.5, 0.5)
BATCH, CLASSES = 128, 10
LR, MOMENTUM, DECAY = 0.05, 0.9, 5e-4
WORKERS = (0, 1, 2)
TRIAL_BATCHES = 6
PICTURES = {32: 4096, 64: 2560, 128: 1024}
PEERS = {"timm": "timm", "Lightning": "lightning", "Ultralytics": "ultralytics"}
# Its classification head is a 1x1 convolution to 1,280 channels before the linear layer; the rest is torchvision's.
ULTRALYTICS_RESNET = """
nc: 10
backbone:
  - [-1, 1, TorchVision, [512, resnet18, null, true, 2]]
head:
  - [-1, 1, Classify, [nc]]
"""
CONTENDERS = (
    "limit, fp32",
    "limit, bf16",
    "limit, strop's kernels",
    "strop",
    "torchvision, fp32",
    "torchvision, bf16",
    "timm, fp32",
    "timm, bf16",
    "Lightning, fp32",
    "Lightning, bf16",
    "Ultralytics",
)


def main() -> None:
    options = parse(sys.argv[1:])
    if options.contender:
        serve(options.contender, options.folder, options.sizes[0], options.threads)
        return
    versions = (f"{name} {version(name)}" for name in ("torch", "torchvision", "timm", "lightning", "ultralytics"))
    print(f"{cpu_name()}; {options.threads} threads; Python {platform.python_version()}, {', '.join(versions)}")
    for size in options.sizes:
        with tempfile.TemporaryDirectory(prefix="training-") as folder:
            make_pngs(Path(folder), options.pictures or PICTURES.get(size, 1024))
            compare(size, Path(folder), options)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 128], help="pixels a side")
    parser.add_argument("--rounds", type=int, default=3, help="epochs that count, after one that does not")
    parser.add_argument("--pictures", type=int, help="pictures an epoch (default: by size)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", nargs="+", default=["limit", "strop", "torchvision", *PEERS])
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    least = (TRIAL_BATCHES + 1) * BATCH
    if options.pictures is not None and options.pictures < least:
        parser.error(f"--pictures {options.pictures}: the trial of workers takes {least}. Write that or more.")
    return options


def version(name: str) -> str:
    return metadata.version(name) if find_spec(name) else "not installed"


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def make_pngs(folder: Path, n: int) -> None:
    """The bundled pictures as files, one folder a class; all training pictures over again where they are too few."""
    from PIL import Image

    from strop.data import open_data

    data = open_data("fashion-mini", validation="0%")
    labels = data.labels("train")
    for i in range(n):
        source = i % len(labels)
        for split, every in (("train", 1), ("val", 64)):  # Ultralytics wants a second split, and looks at it
            if i % every == 0:
                path = folder / split / f"{labels[source]}" / f"{i:05d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(data.pixels("train", source)[:, :, 0]).save(path)


def compare(size: int, folder: Path, options: argparse.Namespace) -> None:
    """One epoch of each in turn, `rounds` times."""
    names = [name for name in CONTENDERS if name.partition(",")[0] in options.only and installed(name)]
    processes = {name: start(name, folder, size, options.threads) for name in names}
    rates: dict[str, list[float]] = {name: [] for name in names}
    settings = {}
    try:
        for number in range(options.rounds + 1):
            for name, process in processes.items():
                answer = ask(process)
                settings[name] = answer["setting"]
                if number:
                    rates[name].append(answer["pictures"] / answer["seconds"])
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    report(size, rates, settings, options.rounds)


def installed(name: str) -> bool:
    module = PEERS.get(name.partition(",")[0])
    return module is None or find_spec(module) is not None


def start(name: str, folder: Path, size: int, threads: int) -> subprocess.Popen:
    words = ["--contender", name, "--folder", str(folder), "--sizes", str(size), "--threads", str(threads)]
    command = [sys.executable, __file__, *words]
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), PYTHONWARNINGS="ignore")
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def ask(process: subprocess.Popen) -> dict:
    process.stdin.write("epoch\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith("{"):
            return json.loads(line)
    raise SystemExit(f"{process.args} ended with {process.wait()}")


def report(size: int, rates: dict[str, list[float]], settings: dict[str, str], rounds: int) -> None:
    """Images/s, the share of the limit at the same settings, and strop's ratio to each, round by round."""
    limits = {
        "strop": "limit, strop's kernels",
        **{name: "limit, bf16" if name.endswith("bf16") else "limit, fp32" for name in rates if name != "strop"},
    }
    print(f"\n{size} px: images/s, median of {rounds} rounds (least-most)")
    for name, values in rates.items():
        line = f"  {name:22} {statistics.median(values):7.0f} ({min(values):.0f}-{max(values):.0f})"
        if limits[name] in rates and not name.startswith("limit"):
            line += f"  {median_ratio(values, rates[limits[name]]):4.0%} of its limit"
        if "strop" in rates and name != "strop" and not name.startswith("limit"):
            line += f", strop is {median_ratio(rates['strop'], values):.2f}x"
        print(f"{line}  {settings[name]}")
    peers = [name for name in rates if name != "strop" and not name.startswith("limit")]
    if "strop" in rates and peers:
        best = max(peers, key=lambda name: statistics.median(rates[name]))
        print(f"  best peer: {best}; strop / best peer {median_ratio(rates['strop'], rates[best]):.2f}")


def median_ratio(above: list[float], below: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


# In the process of a contender


def serve(name: str, folder: Path, size: int, threads: int) -> None:
    """Train an epoch for each line on standard input; answer with its seconds."""
    import torch

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a framework prints goes elsewhere
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    kind, _, precision = name.partition(", ")
    make = {
        "limit": train_on_one_batch,
        "strop": train_with_strop,
        "torchvision": train_plainly,
        "timm": train_with_timm,
        "Lightning": train_with_lightning,
        "Ultralytics": train_with_ultralytics,
    }[kind]
    epochs = make(folder, size, precision)
    for _ in sys.stdin:
        pictures, seconds, setting = next(epochs)
        print(json.dumps({"pictures": pictures, "seconds": seconds, "setting": setting}), file=answers, flush=True)


Epochs = Iterator[tuple[int, float, str]]


def make_model(precision: str):
    import torch
    import torchvision

    model = torchvision.models.resnet18(num_classes=CLASSES)
    return model.to(memory_format=torch.channels_last) if precision != "fp32" else model


def make_sgd(model):
    import torch

    return torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=DECAY, nesterov=True)


def autocast(precision: str):
    import torch

    return nullcontext() if precision == "fp32" else torch.autocast("cpu", torch.bfloat16)


def train_on_one_batch(folder: Path, size: int, precision: str) -> Epochs:
    """The same batch again and again: forward, backward, update."""
    import torch

    from strop.train.smallmaps import fast_small_maps

    ours = precision == "strop's kernels"
    precision = "bf16" if ours and strop_precision(make_model("fp32")) == "bf16" else precision
    precision = "fp32" if ours and precision != "bf16" else precision
    model = make_model(precision).train()
    optimizer = make_sgd(model)
    images, targets = torch.randn(BATCH, 3, size, size), torch.arange(BATCH) % CLASSES
    images = images.to(memory_format=torch.channels_last) if precision == "bf16" else images
    steps = 8 if size >= 128 else 16
    with fast_small_maps(model) if ours else nullcontext():
        while True:
            begin = time.perf_counter()
            for _ in range(steps):
                step(model, optimizer, images, targets, precision)
            yield steps * BATCH, time.perf_counter() - begin, precision


def step(model, optimizer, images, targets, precision: str) -> None:
    import torch.nn.functional as F

    with autocast(precision):
        loss = F.cross_entropy(model(images), targets)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def strop_precision(model) -> str:
    from strop.train.precision import resolve_precision

    return resolve_precision("auto", model, "cpu")


def train_with_strop(folder: Path, size: int, _: str) -> Epochs:
    """The parts of strop as `strop train --crop-scale 0.08 --augment hflip` puts them together, on the same files."""
    import torch
    import torch.nn.functional as F

    from strop.data import open_data
    from strop.data.geometry import RandomCrop
    from strop.data.load import Loader, pictures
    from strop.models.classifier import Classifier, Preprocess
    from strop.train.fit import fit
    from strop.train.gradient import batch_gradient
    from strop.train.objective import Supervised
    from strop.train.optim import make_optimizer
    from strop.train.precision import make_autocast
    from strop.train.smallmaps import fast_small_maps

    data = open_data(str(folder / "train"), validation="0%")
    train = pictures(data, "train", size=size, channels=3, crop=RandomCrop(flip=0.5))
    loader = Loader(train, batch_size=BATCH, seed=0)
    model = Classifier(make_model("fp32"), Preprocess(size, 3, MEAN, STD), data.classes)
    model = model.to(memory_format=torch.channels_last)
    precision = strop_precision(model)
    optimizer = make_optimizer(model, "sgd", lr=LR, weight_decay=DECAY)
    with fast_small_maps(model):
        begin = time.perf_counter()
        for _ in fit(
            Supervised(model, F.cross_entropy),
            loader,
            optimizer,
            epochs=1000,
            schedule=lambda t: 1.0,
            gradient=partial(batch_gradient, precision=make_autocast(precision, "cpu")),
        ):
            yield len(train), time.perf_counter() - begin, f"{precision}, {train.kind}"
            begin = time.perf_counter()


def train_plainly(folder: Path, size: int, precision: str) -> Epochs:
    """What torchvision's reference script does for each batch, without its printing."""

    workers = fastest(lambda workers: torchvision_loader(folder, size, workers))
    return train_loop(torchvision_loader(folder, size, workers), precision, f"{workers} workers")


def torchvision_loader(folder: Path, size: int, workers: int):
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    steps = [transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    dataset = datasets.ImageFolder(str(folder / "train"), transforms.Compose([*steps, transforms.Normalize(MEAN, STD)]))
    return DataLoader(dataset, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)


def fastest(make_loader: Callable) -> int:
    """The number of workers that gives batches fastest while this process computes as well."""
    import torch

    weights, seconds = torch.randn(1024, 1024), {}
    for workers in WORKERS:
        loader = iter(make_loader(workers))
        next(loader)
        begin = time.perf_counter()
        for _ in range(TRIAL_BATCHES):
            next(loader)
            for _ in range(16):
                weights @ weights
        seconds[workers] = time.perf_counter() - begin
    return min(seconds, key=seconds.get)


def train_loop(loader, precision: str, setting: str) -> Epochs:
    import torch

    model = make_model(precision).train()
    optimizer = make_sgd(model)
    while True:
        begin, n = time.perf_counter(), 0
        for images, targets in loader:
            if precision == "bf16":
                images = images.to(memory_format=torch.channels_last)
            step(model, optimizer, images, targets, precision)
            n += len(images)
        yield n, time.perf_counter() - begin, setting


def train_with_timm(folder: Path, size: int, precision: str) -> Epochs:
    """timm's loader and optimizer around the same step."""
    workers = fastest(lambda workers: timm_loader(folder, size, workers))
    return train_loop(timm_loader(folder, size, workers), precision, f"{workers} workers")


def timm_loader(folder: Path, size: int, workers: int):
    import torch
    from timm.data import ImageDataset, create_loader

    return create_loader(
        ImageDataset(str(folder / "train")),
        input_size=(3, size, size),
        batch_size=BATCH,
        is_training=True,
        hflip=0.5,
        color_jitter=None,
        interpolation="bilinear",
        mean=MEAN,
        std=STD,
        num_workers=workers,
        persistent_workers=workers > 0,
        device=torch.device("cpu"),
    )


def train_with_lightning(folder: Path, size: int, precision: str) -> Epochs:
    import logging

    import lightning
    import torch.nn.functional as F

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = make_model(precision)

        def training_step(self, batch, _):
            return F.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self):
            return make_sgd(self.model)

    class Clock(lightning.Callback):
        def on_train_epoch_start(self, *_):
            self.begin = time.perf_counter()

        def on_train_epoch_end(self, *_):
            self.seconds = time.perf_counter() - self.begin

    workers = fastest(lambda workers: torchvision_loader(folder, size, workers))
    loader, module, clock, epochs = torchvision_loader(folder, size, workers), Module(), Clock(), 0
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    kind = "32-true" if precision == "fp32" else "bf16-mixed"
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=1, precision=kind, callbacks=[clock], enable_model_summary=False, **quiet
    )
    while True:
        epochs += 1
        trainer.fit_loop.max_epochs = epochs
        trainer.fit(module, loader)
        yield len(loader.dataset), clock.seconds, f"{workers} workers"


def train_with_ultralytics(folder: Path, size: int, _: str) -> Epochs:
    """Its trainer owns the loop, so it runs in a thread of its own and waits at the end of each epoch."""
    import queue
    import threading

    from ultralytics.models.yolo.classify import ClassificationTrainer

    go, done = queue.Queue(), queue.Queue()
    network = folder / "resnet18-cls.yaml"
    network.write_text(ULTRALYTICS_RESNET)
    overrides = {
        "model": str(network), "data": str(folder), "imgsz": size, "batch": BATCH, "epochs": 1000, "device": "cpu",
        "workers": 2, "pretrained": False, "optimizer": "SGD", "lr0": LR, "momentum": MOMENTUM, "val": False,
        "weight_decay": DECAY, "auto_augment": None, "erasing": 0.0, "hsv_h": 0.0, "hsv_s": 0.0, "hsv_v": 0.0,
        "warmup_epochs": 0.0, "save": False, "plots": False, "verbose": False, "project": str(folder / "runs"),
    }  # fmt: skip
    clock = {}

    def begin(trainer):
        go.get()
        clock["begin"] = time.perf_counter()

    def end(trainer):
        done.put(
            (len(trainer.train_loader.dataset), time.perf_counter() - clock["begin"], f"{torch_threads()} threads")
        )

    def train():
        try:
            trainer.train()
        finally:
            os._exit(1)  # it never ends by itself; waiting for an answer would be for ever

    trainer = ClassificationTrainer(overrides=overrides)
    trainer.add_callback("on_train_epoch_start", begin)
    trainer.add_callback("on_train_epoch_end", end)
    threading.Thread(target=train, daemon=True).start()
    while True:
        go.put(None)
        yield done.get()


def torch_threads() -> int:
    import torch

    return torch.get_num_threads()


if __name__ == "__main__":
    main()
