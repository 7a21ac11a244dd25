"""A small folder of easy pictures, the command line as a function, and the whole way run once."""

import contextlib
import io
import json
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from strop import cli

CLASSES = ("columns", "disc", "rows", "slope")
SIDE = 24


class Outcome(NamedTuple):
    """What a command left on the screen."""

    code: int
    out: str
    err: str


def run_command(folder: Path, *words: object) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([str(word) for word in words])
    return Outcome(code, out.getvalue(), err.getvalue())


def draw(kind: str, rng: np.random.Generator, side: int = SIDE) -> np.ndarray:
    """Stripes of three directions or a disc, grey, with noise."""
    y, x = np.mgrid[:side, :side] * (SIDE / side)
    phase, (middle_y, middle_x) = rng.uniform(0, 6), rng.uniform(9, 15, 2)
    shape = {
        "rows": np.sin(0.9 * y + phase),
        "columns": np.sin(0.9 * x + phase),
        "slope": np.sin(0.7 * (x + y) + phase),
        "disc": np.where((x - middle_x) ** 2 + (y - middle_y) ** 2 < 49, 1.0, -1.0),
    }[kind]
    return np.clip(128 + 70 * shape + rng.normal(0, 30, shape.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def picture():
    """Make one picture: `picture(kind, seed, side)`, grey uint8."""
    return lambda kind, seed=0, side=SIDE: draw(kind, np.random.default_rng(seed), side)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> Path:
    """60 training and 15 test pictures of each of four classes."""
    root, rng = tmp_path_factory.mktemp("data") / "shapes", np.random.default_rng(0)
    for split, count in (("train", 60), ("test", 15)):
        for kind in CLASSES:
            (root / split / kind).mkdir(parents=True)
            for number in range(count):
                Image.fromarray(draw(kind, rng)).save(root / split / kind / f"{number:03}.png")
    return root


@pytest.fixture(scope="session")
def strop_in():
    """Run a command line in a folder: `strop_in(folder, "train", ...)` gives code, out and err."""
    return run_command


@pytest.fixture
def strop(tmp_path):
    """Run a command line in the test's own folder."""
    return lambda *words: run_command(tmp_path, *words)


@pytest.fixture(scope="session")
def read():
    """The JSON of a file in a run folder."""
    return lambda folder, name="run.json": json.loads((Path(folder) / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory, shapes) -> Path:
    """A working folder with runs/small, trained for two epochs, and runs/small-export."""
    folder = tmp_path_factory.mktemp("trained")
    options = ("--epochs", 2, "--validation", "20%", "--batch-size", 32, "--lr", 0.01)
    for words in (("train", shapes, "--model", "cnn3", "--id", "small", *options), ("export", "runs/small")):
        outcome = run_command(folder, *words)
        assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of the exported folder that may be tampered with, alone in its folder."""
    return shutil.copytree(trained / "runs" / "small-export", tmp_path / "alone" / "copy")


@pytest.fixture
def verify(strop_in, tmp_path):
    """Verify a folder: (exit code, verdict, {check: (holds, said)})."""

    def run(folder, *words):
        outcome = strop_in(tmp_path, "verify", folder, "--json", *words)
        if outcome.code == 2:
            return outcome
        found = json.loads(outcome.out)
        return outcome.code, found["verdict"], {c["name"]: (c["holds"], c["said"]) for c in found["checks"]}

    return run


class Pipeline(NamedTuple):
    """The working folder of the whole way, its commands by name, and what each left on the screen."""

    folder: Path
    commands: dict[str, list[str]]
    outcomes: dict[str, Outcome]

    def run(self, name: str) -> Path:
        return self.folder / "runs" / name


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory, shapes) -> Pipeline:
    """Teach, distil, fine-tune, prune, quantize, export, measure, predict, compare and report, by command."""
    folder = tmp_path_factory.mktemp("pipeline")
    fast = ["--batch-size", "32", "--lr", "0.01"]
    data = [str(shapes), "--validation", "20%"]
    exports = ["runs/student-export", "runs/student-pruned-export", "runs/student-pruned-int8-export"]
    kd = ["--teacher", "runs/teacher", "--distill", "kd:temperature=4"]
    test_rows = str(shapes / "test" / "rows")
    commands = {
        "teacher": ["train", *data, "--model", "cnn3", "--epochs", "3", "--id", "teacher", *fast],
        "student": ["train", *data, "--model", "cnn3", "--epochs", "6", "--id", "student", *kd, *fast],
        "student-tuned": ["train", *data, "--parent", "runs/student", "--epochs", "1", *fast],
        "student-pruned": ["prune", "runs/student", "--params", "50%", "--epochs", "2", *fast],
        "student-pruned-int8": ["quantize", "runs/student-pruned"],
        "student-export": ["export", "runs/student"],
        "student-pruned-export": ["export", "runs/student-pruned"],
        "student-pruned-int8-export": ["export", "runs/student-pruned-int8"],
        "student-on-test": ["evaluate", "runs/student", "--split", "test"],
        "student-export-on-test": ["evaluate", "runs/student-export", "--split", "test"],
        "bench": ["bench", *exports, "--rounds", "20"],
        "predict": ["predict", "runs/student-export", f"{test_rows}/000.png", str(shapes / "test" / "disc")]
        + ["--grid", "grid.png"],
        "compare": ["compare", "runs/student", "runs/student-pruned", "runs/student-pruned-int8", "--out", "compared"],
        "report": ["report", "runs/student", "runs/student-pruned"],
    }
    return Pipeline(folder, commands, {name: run_command(folder, *words) for name, words in commands.items()})
