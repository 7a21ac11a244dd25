"""Commands on two processes under torchrun: whole recipes, stopping, a killed process, and who writes."""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from strop.data.parts import Parts
from strop.errors import UserError
from strop.runs import Run
from strop.steps import many
from strop.steps.many import make_parts
from strop.steps.train import Train

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
STROP = ["-m", "strop"]
EPOCHS = 6
RECIPE = """\
data: {source: %s, validation: 20%%}
steps:
  - train: {id: teacher, model: cnn3, epochs: 1, batch_size: 40, virtual_ranks: 2, sam: 0.05, ema: 0.9, clip: 1.0,
            augment: light+mixup, phases: [{freeze: layer1}, {lr: 0.01}]}
  - train: {id: student, model: cnn3, epochs: 1, batch_size: 40, virtual_ranks: 2, accumulate: 2, teacher: teacher,
            sparsify: l1}
  - prune: {id: small, parent: student, params: 60%%, epochs: 1, batch_size: 40, virtual_ranks: 2}
  - evaluate: {id: tested, parent: small, split: test}
"""


def start(folder: Path, words: list, **more) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **more}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([str(word) for word in words], cwd=folder, env=environment, text=True, **pipes)


def start_pair(folder: Path, words: list) -> list[subprocess.Popen]:
    """Two processes as torchrun would start them, without the supervisor, so that each has its exit code."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    return [start(folder, [sys.executable, *STROP, *words], **where, **rank) for rank in ranks]


def end(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=200)
    return process.returncode, out, err


def train(shapes: Path, name: str) -> list:
    how = ["--validation", "20%", "--batch-size", 16, "--virtual-ranks", 2, "--save-minutes", 0.005]
    return ["train", shapes, "--model", "cnn3", "--epochs", EPOCHS, "--id", name, *how]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, shapes, strop_in) -> Path:
    """The same training by one process in one go."""
    folder = tmp_path_factory.mktemp("whole")
    assert strop_in(folder, *train(shapes, "whole")).code == 0
    return folder / "runs" / "whole"


def wait_for_epochs(run: Path, count: int, processes: list[subprocess.Popen]) -> None:
    for _ in range(12_000):
        if len(Run(run).metrics()) >= count:
            return
        assert all(process.poll() is None for process in processes), [end(process) for process in processes]
        time.sleep(0.01)
    raise AssertionError("no progress")


def model_bytes(run: Path) -> bytes:
    return Run.open(run).model_file.read_bytes()


@pytest.mark.slow
def test_a_recipe_on_two_processes(tmp_path, shapes, strop_in):
    """SAM, EMA, mixing, phases; distilling with L1 and accumulation; pruning: all files and scores are those of one."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE % shapes)
    (code0, out0, err0), (code1, out1, err1) = map(end, start_pair(tmp_path, ["run", recipe, "--out", "two"]))
    assert (code0, code1) == (0, 0), (err0, err1)
    assert "[4/4] evaluate tested" in out0 and out1 == "", "the first process speaks for both"
    assert strop_in(tmp_path, "run", recipe, "--out", "one").code == 0
    for name in ("teacher", "student", "small", "tested"):
        one, two = tmp_path / "one" / name, tmp_path / "two" / name
        assert name == "tested" or model_bytes(one) == model_bytes(two), name
        expected, found = Run.open(one).result, Run.open(two).result
        for entry in (*found["measured"], *expected["measured"]):
            entry.pop("peak_memory_bytes", None)
        assert found["measured"] == expected["measured"] and found.get("pruning") == expected.get("pruning")
        assert sorted(path.name for path in one.iterdir()) == sorted(path.name for path in two.iterdir())
        assert [line["epoch"] for line in Run(two).metrics()] == [line["epoch"] for line in Run(one).metrics()]


@pytest.mark.slow
def test_sigterm_to_one_stops_both_and_one_process_goes_on(tmp_path, shapes, strop_in, whole):
    """A signal to the second: both save and exit 143 after the same update; one process then gives the same bytes."""
    run = tmp_path / "runs" / "stopped"
    pair = start_pair(tmp_path, train(shapes, "stopped"))
    wait_for_epochs(run, 1, pair)
    pair[1].send_signal(signal.SIGTERM)
    (code0, _, err0), (code1, out1, err1) = map(end, pair)
    assert (code0, code1) == (143, 143), (err0, err1)
    assert "stopped after epoch" in err0 and "Traceback" not in err0 + err1 and out1 == ""
    assert list((run / "checkpoints").glob("step-*.safetensors")) and Run(run).record["status"] == "running"
    assert not list(run.glob(".*draft"))

    resumed = strop_in(tmp_path, *train(shapes, "stopped"))
    assert resumed.code == 0 and "resumed at step" in resumed.out and "no longer bit-exact" not in resumed.out
    assert model_bytes(run) == model_bytes(whole)


def rank_of(pid: str) -> str | None:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return next((word[5:].decode() for word in environment if word.startswith(b"RANK=")), None)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_a_killed_process_is_restarted_and_the_bytes_are_the_same(tmp_path, shapes, whole):
    """kill -9 of the second: torchrun starts both again, the new attempt does not dial the old, and goes on."""
    run = tmp_path / "runs" / "killed"
    words = [*TORCHRUN, "--max-restarts", 2, *STROP, *train(shapes, "killed"), "--timeout", 30]
    torchrun = start(tmp_path, words)
    wait_for_epochs(run, 1, [torchrun])
    children = Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split()
    [second] = [pid for pid in children if rank_of(pid) == "1"]
    os.kill(int(second), signal.SIGKILL)
    code, out, err = end(torchrun)
    assert code == 0, err
    assert re.search(r"resumed at step \d+ of 72", out)
    assert model_bytes(run) == model_bytes(whole)


def test_batches_too_small_to_be_cut(strop, shapes, monkeypatch):
    """Virtual ranks are powers of two that the processes can divide, and every chunk has two pictures or more."""
    words = ["train", shapes, "--model", "cnn3", "--batch-size", 16]
    outcome = strop(*words, "--virtual-ranks", 3)
    assert outcome.code == 2 and "--virtual-ranks: 3 is not a power of two. Write 2, 4, 8" in outcome.err
    outcome = strop(*words[:4], "--batch-size", "auto", "--accumulate", 2, "--epochs", 1)
    assert outcome.code == 0, outcome.err
    outcome = strop(*words, "--accumulate", 9)
    assert outcome.code == 2 and "is too small for 9 chunks of 2 pictures or more. Write 18" in outcome.err
    monkeypatch.setattr(many, "here", lambda: SimpleNamespace(size=4, rank=1))
    options = Train(data="x", model="cnn3", batch_size=128, virtual_ranks=2)
    with pytest.raises(UserError, match="can't be divided among 4 processes. Start 1, 2, or leave"):
        make_parts(options, torch.nn.Linear(1, 1))
    parts = make_parts(options.model_copy(update={"virtual_ranks": 8, "accumulate": 2}), torch.nn.Linear(1, 1))
    assert parts == Parts(8, 2, first=2, held=2, in_pairs=True)


@pytest.mark.parametrize(("virtual", "warned"), [(None, True), (2, False)])
def test_batch_norm_is_warned_of(monkeypatch, caplog, virtual, warned):
    """Where the result is not that of one process, it is said, with the option that makes it so."""
    monkeypatch.setattr(many, "here", lambda: SimpleNamespace(size=2, rank=0))
    monkeypatch.setattr(logging.getLogger("strop"), "propagate", True)
    options = Train(data="x", model="cnn3", batch_size=128, virtual_ranks=virtual)
    with caplog.at_level(logging.INFO, "strop"):
        make_parts(options, torch.nn.BatchNorm2d(3))
    assert "statistics of 64 of 128 pictures" in caplog.text
    assert ("not those of one process; with --virtual-ranks 2 they are" in caplog.text) is warned
