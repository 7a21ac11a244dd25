"""kill -9 at random instants, then the same command: are the final bits those of a run that was never killed?

    python benchmarks/resume.py                       # 10 trainings, 50 kills
    python benchmarks/resume.py --runs 20 --kills 200

Every training is done twice: in one go, and killed again and again. Half of the kills come at a random instant, half as
soon as a random one of the checkpoints is seen being written. Compared are one sha256 over the final weights, their
moving average and the optimizer's state, the bytes of the model and of the last weights, and every figure in
metrics.jsonl but the clock's.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from strop import cli
from strop.data import load, stores
from strop.runs import Run
from strop.steps.training import Training
from strop.train import checkpoint

CLASSES, TRAIN_PICTURES = ("a", "b", "c", "d"), 30
CLOCK = {"seconds", "images_per_second"}
COMMON = ["--validation", "20%", "--input-size", "32", "--batch-size", "16", "--lr", "0.01"]
# Where the pictures come from ("aside": decoded by a thread while training goes on; "due": when they are due), and how.
TRAININGS = [
    ("stream, aside", "--precision bf16 --ema 0.9 --augment light+mixup"),
    ("stream, due", "--precision bf16 --ema 0.9 --augment light+mixup"),
    ("memory", "--precision bf16 --ema 0.9 --augment light+mixup"),
    ("cache", "--precision bf16 --ema 0.9 --crop-scale 0.3"),
    ("stream, aside", "--precision bf16 --optimizer adamw --augment strong --crop-scale 0.3"),
    ("stream, due", "--precision fp32 --ema 0.9 --optimizer adamw --augment standard"),
    ("memory", "--precision fp32 --augment light+mixup --loss cross-entropy:smoothing=0.1"),
    ("cache", "--precision bf16 --augment standard --sampling balanced"),
    ("stream, aside", "--precision bf16 --sam 0.05"),
    ("memory", "--precision bf16 --ema 0.9 --accumulate 2 --clip 1.0 --on-nan rollback"),
]


class Outcome(NamedTuple):
    """Of one training that was killed."""

    kills: int
    writing: int
    steps: list[int]
    equal: bool
    differs: list[str]


def main(words: list[str] | None = None) -> int:
    options = parse(words)
    torch.set_num_threads(options.threads)
    chance = random.Random(options.seed)
    start, outcomes = time.perf_counter(), []
    print(f"{'pictures':<15}{'kills':>6}{'in a write':>11}{'resumed at':>22}{'equal':>7}  options")
    with tempfile.TemporaryDirectory(prefix="resume-") as folder:
        work = Path(folder)
        os.environ["STROP_CACHE"] = str(work / "cache")
        make_jpegs(work / "pictures")
        for number in range(options.first, options.first + options.runs):
            source, how = TRAININGS[number % len(TRAININGS)]
            kills = options.kills // options.runs + (number - options.first < options.kills % options.runs)
            command = ["train", str(work / "pictures"), "--model", options.model, "--epochs", str(options.epochs)]
            command += [*COMMON, *how.split(), "--seed", str(number)]
            outcome = compare(work / str(number), command, source, kills, chance, options)
            outcomes.append(outcome)
            steps = " ".join(map(str, outcome.steps))
            verdict = "yes" if outcome.equal else "NO: " + ", ".join(outcome.differs)
            print(f"{source:<15}{outcome.kills:>6}{outcome.writing:>11}{steps:>22}{verdict:>7}  {how}", flush=True)
    return conclude(outcomes, time.perf_counter() - start)


def parse(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--first", type=int, default=0, help="number of the first training")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--save-seconds", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(words)


def conclude(outcomes: list[Outcome], seconds: float) -> int:
    kills, writing = sum(o.kills for o in outcomes), sum(o.writing for o in outcomes)
    equal = sum(o.equal for o in outcomes)
    print(f"{kills} kills, {writing} of them inside a checkpoint's write; {equal} of {len(outcomes)} trainings equal")
    print(f"{seconds:.0f} s in all")
    return 0 if equal == len(outcomes) else 1


def compare(
    folder: Path, command: list[str], source: str, kills: int, chance: random.Random, options: argparse.Namespace
) -> Outcome:
    """Train in one go, and with kills; hold the two against each other."""
    start = time.perf_counter()
    assert end(begin(folder / "whole", command, source)) == 0
    once = time.perf_counter() - start
    run, steps, done, writing = folder / "killed" / "run", [], 0, 0
    again = [*command, "--save-minutes", str(options.save_seconds / 60)]
    while True:
        child = begin(folder / "killed", again, source)
        if done == kills:
            assert end(child) == 0
            break
        latest = 1 + (options.epochs - 2) * done // max(kills - 1, 1)  # so that the kills spread over the training
        if not (kill_while_writing if done % 2 else kill_any_time)(child, run, once, latest, chance):
            raise SystemExit(f"{source}: ended before its kill number {done + 1}; take more --epochs")
        done += 1
        writing += bool(list((run / "checkpoints").glob(".step-*.draft")))
        found = checkpoint.newest(run / "checkpoints", lambda text: None)
        steps.append(found.step if found else 0)
    differs = differences(folder / "whole" / "run", run)
    return Outcome(done, writing, steps, not differs, differs)


def kill_any_time(child: int, run: Path, once: float, latest: int, chance: random.Random) -> bool:
    """Within the time of a whole training; sooner if its epoch `latest` has ended. Whether it was killed."""
    give_up = time.perf_counter() + chance.uniform(0.2, 1.0) * once
    while time.perf_counter() < give_up and len(Run(run).metrics()) < latest:
        if os.waitpid(child, os.WNOHANG) != (0, 0):
            return False
        time.sleep(0.01)
    return kill(child)


def kill_while_writing(child: int, run: Path, once: float, latest: int, chance: random.Random) -> bool:
    """A little after the draft of a checkpoint appears, the first one or a later one. Whether it was killed."""
    left, seen, give_up = chance.randint(1, 3), set(), time.perf_counter() + 60
    while left and time.perf_counter() < give_up and len(Run(run).metrics()) < latest:
        drafts = {path.name for path in (run / "checkpoints").glob(f".step-*.safetensors.{child}.draft")} - seen
        seen |= drafts
        left -= bool(drafts)
        if os.waitpid(child, os.WNOHANG) != (0, 0):
            return False
        time.sleep(0.0005)
    time.sleep(chance.uniform(0, 0.01))
    return kill(child)


def kill(child: int) -> bool:
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def begin(folder: Path, command: list[str], source: str) -> int:
    """A process of its own that runs the command, made by fork so that torch need not be loaded again."""
    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.chdir(folder)
        with open("log.txt", "a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        take_pictures_from(source)
        note_final_state()
        code = cli.main([*command, "--out", "run"])
    finally:
        os._exit(code)


def end(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def take_pictures_from(source: str) -> None:
    """As a large set would: nothing fits into memory; or into the cache."""
    if source != "memory":
        load._MEMORY_SHARE = 0.0
    if source.startswith("stream"):
        load._choose = lambda *given, **more: "stream"
    if source.endswith("due"):
        stores.Pictures.in_memory = True


def note_final_state() -> None:
    """At the end of a training, one hash over all that its result depends on goes into the run folder."""
    finish = Training._finish

    def note(self: Training) -> dict:
        more = {f"ema.{name}": tensor for name, tensor in self.average.items()}
        state = checkpoint.take(0, self.objective, self.optimizer, {}, {}, more=more)
        (self.run.folder / "final.sha256").write_text(hashlib.sha256(state.data).hexdigest())
        return finish(self)

    Training._finish = note


def differences(whole: Path, killed: Path) -> list[str]:
    """What is not equal, by name."""
    files = ("final.sha256", "model.safetensors", "checkpoints/last.safetensors")
    differs = [name for name in files if (whole / name).read_bytes() != (killed / name).read_bytes()]
    figures = [
        [{name: value for name, value in line.items() if name not in CLOCK} for line in Run(run).metrics()]
        for run in (whole, killed)
    ]
    return differs + (["metrics.jsonl"] if figures[0] != figures[1] else [])


def make_jpegs(folder: Path) -> None:
    """Noise with another colour for each class, 40 px, as JPEG files."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        (folder / "train" / name).mkdir(parents=True)
        colour = np.eye(4)[number, :3] * 80 + 60
        for picture in range(TRAIN_PICTURES):
            pixels = np.clip(rng.normal(colour, 60, (40, 40, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "train" / name / f"{picture:03}.jpg", quality=90)


if __name__ == "__main__":
    sys.exit(main())
