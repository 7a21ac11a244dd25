"""Stop it any time: the same command goes on, and the final weights are those of an uninterrupted run."""

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from strop.runs import Run
from strop.steps import training

EPOCHS = 12
FAST = ["--batch-size", "8", "--lr", "0.01"]


class Ended(NamedTuple):
    """A process that was let run, or stopped."""

    code: int
    out: str
    err: str


def train(shapes: Path, epochs: int) -> list[str]:
    return ["train", str(shapes), "--model", "cnn3", "--validation", "20%", "--epochs", str(epochs), *FAST]


def start(folder, words):
    return subprocess.Popen(
        [sys.executable, "-m", "strop", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process) -> Ended:
    out, err = process.communicate(timeout=120)
    return Ended(process.returncode, out, err)


def stop_after_epochs(process, run: Path, count: int, number: int) -> Ended:
    """Send the signal once `count` epochs are in metrics.jsonl."""
    metrics = run / "metrics.jsonl"
    for _ in range(6000):
        if metrics.is_file() and len(metrics.read_bytes().splitlines()) >= count:
            break
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(number)
    return end(process)


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def epochs_logged(run: Path) -> list[int]:
    return [line["epoch"] for line in Run(run).metrics()]


def without_clock(run: Path) -> list[dict]:
    clock = {"seconds", "images_per_second"}
    return [{name: value for name, value in line.items() if name not in clock} for line in Run(run).metrics()]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, shapes):
    """The run folder of the long training, never stopped."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    ended = end(start(folder, train(shapes, EPOCHS)))
    assert ended.code == 0, ended.err
    return folder / "runs" / "cnn3"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_resume_after_signal(tmp_path, shapes, uninterrupted, number, code):
    """Ctrl-C and SIGTERM save and say how to go on; the same command then gives the same bytes."""
    run = tmp_path / "runs" / "cnn3"
    stopped = stop_after_epochs(start(tmp_path, train(shapes, EPOCHS)), run, 2, number)
    assert stopped.code == code
    assert "The same command goes on from here" in stopped.err and "Traceback" not in stopped.err
    assert Run(run).record["status"] == "running"
    assert list((run / "checkpoints").glob("step-*.safetensors"))
    assert not (run / "result.json").exists()
    assert 2 <= len(epochs_logged(run)) < EPOCHS

    resumed = end(start(tmp_path, train(shapes, EPOCHS)))
    assert resumed.code == 0, resumed.err
    assert "going on where it stopped" in resumed.out
    step = int(re.search(r"resumed at step (\d+) of", resumed.out)[1])
    assert step >= 2 * 24  # 192 pictures in batches of 8 make 24 updates an epoch
    assert weights(run) == weights(uninterrupted)
    assert epochs_logged(run) == list(range(1, EPOCHS + 1))
    assert without_clock(run) == without_clock(uninterrupted)
    assert Run.open(run).result["model"] == Run.open(uninterrupted).result["model"]
    assert Run.open(run).result["measured"] == Run.open(uninterrupted).result["measured"]


@pytest.mark.slow
def test_resume_after_kill(tmp_path, shapes, uninterrupted):
    """kill -9 leaves no time to save; the same command finishes with the same bytes and each epoch once."""
    run = tmp_path / "runs" / "cnn3"
    killed = stop_after_epochs(start(tmp_path, train(shapes, EPOCHS)), run, 3, signal.SIGKILL)
    assert killed.code == -signal.SIGKILL
    assert Run(run).record["status"] == "running"
    again = end(start(tmp_path, train(shapes, EPOCHS)))
    assert again.code == 0, again.err
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["cnn3"]
    assert weights(run) == weights(uninterrupted)
    assert epochs_logged(run) == list(range(1, EPOCHS + 1))


@pytest.mark.slow
def test_resume_prune(tmp_path, shapes, strop_in):
    """Pruning starts from the parent again, and fine-tuning goes on: the bytes are those of one go."""
    assert strop_in(tmp_path, *train(shapes, 1)).code == 0
    words = ["prune", "runs/cnn3", "--params", "50%", "--epochs", "8", *FAST]
    run = tmp_path / "runs" / "cnn3-pruned"
    stopped = stop_after_epochs(start(tmp_path, words), run, 2, signal.SIGINT)
    assert stopped.code == 130
    assert end(start(tmp_path, words)).code == 0
    assert end(start(tmp_path, [*words, "--out", "whole"])).code == 0
    assert weights(run) == weights(tmp_path / "whole")
    assert Run.open(run).result["pruning"] == Run.open(tmp_path / "whole").result["pruning"]


class PowerCut(BaseException):
    """Ends a training at a place where no code can prepare for it."""


@pytest.fixture
def half_done(tmp_path, shapes, strop_in, monkeypatch):
    """A working folder whose runs/cnn3 saved after every update and was cut off in the second epoch, 30 updates in."""
    count, save = itertools.count(1), training.Training._save

    def save_and_cut(self, progress):
        save(self, progress)
        if next(count) == 30:
            self.checkpoints.wait()
            raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(training.Training, "_save", save_and_cut)
        with pytest.raises(PowerCut):
            strop_in(tmp_path, *train(shapes, 3), "--save-minutes", 0)
    return tmp_path


@pytest.fixture(scope="module")
def one_go(tmp_path_factory, shapes, strop_in):
    """The run folder of the short training in one go."""
    folder = tmp_path_factory.mktemp("one-go")
    assert strop_in(folder, *train(shapes, 3)).code == 0
    return folder / "runs" / "cnn3"


@pytest.fixture
def go_on(half_done, shapes, strop_in):
    """Give the same command again; returns what it said."""

    def run():
        outcome = strop_in(half_done, *train(shapes, 3))
        assert outcome.code == 0, outcome.err
        return outcome

    return run


def test_resume_inside_an_epoch(half_done, go_on, one_go):
    """Going on from update 30 of 72, inside the second epoch, gives the bytes and the figures of one go."""
    assert "resumed at step 30 of 72" in go_on().out
    run = half_done / "runs" / "cnn3"
    assert weights(run) == weights(one_go)
    assert without_clock(run) == without_clock(one_go)


def test_resume_from_the_checkpoint_before(half_done, go_on, one_go):
    """A torn checkpoint is named and the one before it used; the bytes stay the same."""
    run = half_done / "runs" / "cnn3"
    torn = run / "checkpoints" / "step-00000030.safetensors"
    torn.write_bytes(torn.read_bytes()[:1000])
    said = go_on().out
    assert "step-00000030.json: the checkpoint is damaged" in said and "resumed at step 29 of 72" in said
    assert weights(run) == weights(one_go)


def test_resume_without_checkpoints(half_done, go_on, one_go):
    """Where no checkpoint is whole the run begins again, and its log too."""
    run = half_done / "runs" / "cnn3"
    for index in (run / "checkpoints").glob("step-*.json"):
        index.write_text("{")
    go_on()
    assert weights(run) == weights(one_go)
    assert epochs_logged(run) == [1, 2, 3]


def test_resume_after_a_torn_log_line(half_done, go_on, one_go):
    """A crash can tear the last line of metrics.jsonl; it is written again, not stumbled over."""
    run = half_done / "runs" / "cnn3"
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 2, "lr": 0.0')
    go_on()
    assert without_clock(run) == without_clock(one_go)


def test_resume_writes_the_config_again(half_done, go_on, one_go):
    """A process that dies between run.json and config.yaml leaves neither of them missing in the end."""
    run = half_done / "runs" / "cnn3"
    for name in ("config.yaml", "data.json"):
        (run / name).unlink()
    go_on()
    for name in ("config.yaml", "data.json"):
        assert (run / name).read_bytes() == (one_go / name).read_bytes()


def test_resume_keeps_two_checkpoints_and_no_more(half_done, go_on):
    """While it runs the last two lie there; a finished run keeps only the last epoch's weights."""
    folder = half_done / "runs" / "cnn3" / "checkpoints"
    assert sorted(path.stem for path in folder.glob("step-*.json")) == ["step-00000029", "step-00000030"]
    go_on()
    assert (folder / "last.safetensors").is_file()
    assert list(folder.glob("step-*")) == []


def test_resume_unfinished_is_no_parent(half_done, strop_in):
    """What is unfinished can't be pruned, measured or compared, and the message says what to do."""
    for words in (("prune", "runs/cnn3", "--params", "50%"), ("evaluate", "runs/cnn3"), ("bench", "runs/cnn3")):
        outcome = strop_in(half_done, *words)
        assert outcome.code == 2
        assert "train is unfinished here. Run the same command again: it resumes." in outcome.err
    outcome = strop_in(half_done, "compare", "runs/cnn3")
    assert outcome.code == 2 and "unfinished" in outcome.err


def test_resume_another_seed_is_another_run(half_done, shapes, strop_in):
    """A changed option never goes on in an unfinished folder: it gets cnn3-2, and cnn3 stays as it was."""
    run = half_done / "runs" / "cnn3"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert strop_in(half_done, *train(shapes, 3), "--seed", 1).code == 0
    assert Run.open(half_done / "runs" / "cnn3-2").record["seed"] == 1
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_resume_one_process_at_a_time(half_done, shapes, strop_in):
    """A second process on the same folder is refused while the first holds it."""
    from strop.runs import locked

    with locked(half_done / "runs" / "cnn3"):
        outcome = strop_in(half_done, *train(shapes, 3))
    assert outcome.code == 2 and "another strop process works on this run" in outcome.err
