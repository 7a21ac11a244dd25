"""What a training survives: stops in awkward places, full and read-only disks, another machine, NaN."""

import itertools
import os
import re
import signal
import subprocess
import sys

import pytest
import torch

from strop.data import load, stores
from strop.data.stream import FilePictures
from strop.runs import Run
from strop.steps import training
from strop.train import checkpoint

FAST = ["--model", "cnn3", "--validation", "20%", "--epochs", 3, "--batch-size", 16, "--lr", 0.01]
CLOCK = {"seconds", "images_per_second"}


def weights(run):
    return (run / "model.safetensors").read_bytes()


def without_clock(run):
    return [{name: value for name, value in line.items() if name not in CLOCK} for line in Run(run).metrics()]


@pytest.fixture(autouse=True)
def default_signals():
    """A shell starts background jobs with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, shapes, strop_in):
    """The run folder of FAST in one go; 12 updates an epoch."""
    folder = tmp_path_factory.mktemp("whole")
    assert strop_in(folder, "train", shapes, *FAST).code == 0
    return folder / "runs" / "cnn3"


@pytest.fixture
def same_as_whole(whole):
    """Check a run against the one in one go: weights and figures, bit for bit."""

    def check(run):
        assert weights(run) == weights(whole)
        assert without_clock(run) == without_clock(whole)
        assert (run / "checkpoints" / "last.safetensors").read_bytes() == (
            whole / "checkpoints" / "last.safetensors"
        ).read_bytes()

    return check


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_while_it_validates(shapes, strop, tmp_path, monkeypatch, same_as_whole, number, code):
    """The epoch is saved as not yet measured; going on measures it, and nothing differs from one go."""
    measured, run = itertools.count(1), tmp_path / "runs" / "cnn3"
    with monkeypatch.context() as patch:
        real = training.evaluate

        def evaluate(*given, **more):
            if next(measured) == 2:
                os.kill(os.getpid(), number)
            return real(*given, **more)

        patch.setattr(training, "evaluate", evaluate)
        stopped = strop("train", shapes, *FAST, "--save-minutes", 99, "--save-epochs", 0)
    assert stopped.code == code and "stopped after epoch 2 of 3" in stopped.err
    assert len(Run(run).metrics()) == 1
    assert [path.stem for path in (run / "checkpoints").glob("step-*.json")] == ["step-00000024"]
    assert strop("train", shapes, *FAST).code == 0
    same_as_whole(run)


def test_stopped_while_the_cache_is_filled(shapes, strop, tmp_path, monkeypatch, same_as_whole):
    """SIGTERM there exits 143, leaves no draft of the cache, and the same command goes on."""
    cache, count = tmp_path / "cache", itertools.count(1)
    monkeypatch.setenv("STROP_CACHE", str(cache))
    monkeypatch.setattr(load, "_MEMORY_SHARE", 0.0)
    with monkeypatch.context() as patch:
        real = FilePictures._square

        def square(self, i):
            if next(count) == 100:  # of 192
                os.kill(os.getpid(), signal.SIGTERM)
            return real(self, i)

        patch.setattr(FilePictures, "_square", square)
        stopped = strop("train", shapes, *FAST)
    assert stopped.code == 143 and "the same command goes on" in stopped.err
    assert not list(cache.rglob("*.draft"))
    assert strop("train", shapes, *FAST).code == 0
    same_as_whole(tmp_path / "runs" / "cnn3")


@pytest.mark.parametrize("source", ["cache", "stream", "stream without its thread"])
def test_where_the_pictures_come_from_changes_nothing(shapes, strop, tmp_path, monkeypatch, same_as_whole, source):
    """Memory, cache, decoding ahead in a thread or not: the same weights (pictures without a random crop)."""
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(load, "_MEMORY_SHARE", 0.0)
    if "without" in source:
        monkeypatch.setattr(stores.Pictures, "in_memory", True)  # taken when due, in the training's own thread
    words = [] if source == "cache" else ["--cache-gb", 0]
    assert strop("train", shapes, *FAST, *words).code == 0
    run = tmp_path / "runs" / "cnn3"
    assert Run(run).record["resolved"]["pictures"] == source.partition(" ")[0]
    same_as_whole(run)


def test_the_same_seed_is_the_same_run(shapes, strop, tmp_path, same_as_whole):
    """Twice the same command in another folder; however often it saves."""
    assert strop("train", shapes, *FAST, "--save-minutes", 0, "--keep", 5, "--out", "again").code == 0
    same_as_whole(tmp_path / "again")


def test_another_machine_goes_on_and_says_what_differs(shapes, strop, tmp_path, monkeypatch):
    """Another number of threads, here: it resumes, and no longer claims equal bits."""
    threads = torch.get_num_threads()
    with monkeypatch.context() as patch:
        real = training.environment
        patch.setattr(training, "environment", lambda **given: real(**given) | {"threads": threads + 1})
        patch.setattr(training.Training, "_end_epoch", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert strop("train", shapes, *FAST, "--save-minutes", 0).code == 130
    said = strop("train", shapes, *FAST)
    assert said.code == 0
    assert f"resumed, no longer bit-exact because threads {threads + 1} -> {threads}" in said.out


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1.5 MB: room for the run's small files and one or two checkpoints of 0.7 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(disk)]
    if subprocess.run(words, capture_output=True).returncode:
        pytest.skip("no permission to mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_said_and_the_last_checkpoint_goes_on(shapes, strop, small_disk, monkeypatch, same_as_whole):
    """Exit 1 with what is missing; the checkpoint before is whole; with room again the result is that of one go."""
    words = ["train", shapes, *FAST, "--save-minutes", 0, "--out", small_disk / "run"]
    with monkeypatch.context() as patch:
        patch.setattr(training.Checkpoints, "check_room", lambda self, size: None)
        failed = strop(*words)
    assert failed.code == 1
    assert re.search(r"disk full: need 0\.\d MB in .*run/checkpoints, 0\.\d MB are free", failed.err), failed.err
    step = int(re.search(r"The last good checkpoint is that of step (\d+)", failed.err)[1])
    assert checkpoint.newest(small_disk / "run" / "checkpoints", pytest.fail).step == step
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    resumed = strop(*words)
    assert resumed.code == 0 and f"resumed at step {step} of 36" in resumed.out
    same_as_whole(small_disk / "run")


def test_a_disk_without_room_is_refused_before_the_work(shapes, strop, small_disk):
    """How much is needed and how much there is; nothing stays behind."""
    refused = strop("train", shapes, *FAST, "--out", small_disk / "run")
    assert refused.code == 2
    assert re.search(r"nearly full: checkpoints need \d\.\d MB, 1\.\d MB are free", refused.err), refused.err
    assert not (small_disk / "run").exists()


def test_a_read_only_place_is_refused_before_the_work(strop, tmp_path, small_disk):
    """Before the pictures are even looked for."""
    (tmp_path / "file").write_text("")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for out in (small_disk / "new" / "run", tmp_path / "file" / "run"):
        refused = strop("train", "no-such-folder", *FAST, "--out", out)
        assert refused.code == 2 and "can't be made" in refused.err and str(out) in refused.err


HOT = [*FAST[:-1], 1e18, "--optimizer", "sgd", "--schedule", "constant", "--warmup", 0, "--precision", "fp32"]


def test_a_loss_that_is_not_finite_stops_the_run(shapes, strop, tmp_path):
    """Exit 1 with the step, the learning rate and where the last good checkpoint lies; no result."""
    failed = strop("train", shapes, *HOT, "--save-minutes", 0)
    assert failed.code == 1
    step = int(re.search(r"the loss is (?:nan|inf) at step (\d+) \(epoch 1, learning rate 1e\+18\)", failed.err)[1])
    run = tmp_path / "runs" / "cnn3"
    found = checkpoint.newest(run / "checkpoints", pytest.fail)
    assert found.step <= step and f"The last good checkpoint is that of step {found.step}, in" in failed.err
    assert all(bool(tensor.isfinite().all()) for tensor in found.tensors.values())
    assert not (run / "result.json").exists()


def test_without_a_checkpoint_it_says_so(shapes, strop):
    """A first update that fails leaves nothing to go back to."""
    assert "There is no checkpoint yet." in strop("train", shapes, *HOT).err


def spoil(patch, *epochs_of_update_15):
    """Make the loss NaN at update 15 of as many first passes as there are arguments."""
    real, passes = training.fit, iter(epochs_of_update_15)

    def fit(objective, *rest, **given):
        forward, bad = objective.forward, next(passes, False)
        start = given["start"]
        calls = itertools.count(start)

        def poisoned(images, target):
            loss = forward(images, target)
            return loss._replace(total=loss.total * float("nan")) if bad and next(calls) == 15 else loss

        objective.forward = poisoned
        try:
            yield from real(objective, *rest, **given)
        finally:
            del objective.forward

    patch.setattr(training, "fit", fit)


BACK = [*FAST, "--on-nan", "rollback"]


def test_rollback_goes_back_an_epoch_and_halves_the_rate(shapes, strop, tmp_path, read, monkeypatch):
    """Epoch 1 stays; epochs 2 and 3 run at half the rate of a run that never failed, and the result says so."""
    assert strop("train", shapes, *BACK, "--out", "calm").code == 0
    spoil(monkeypatch, True)
    said = strop("train", shapes, *BACK, "--out", "rough")
    assert said.code == 0 and "the loss is nan at step 15 (epoch 2" in said.out
    assert "going on after epoch 1 with 0.5 of the learning rate" in said.out
    calm, rough = Run(tmp_path / "calm").metrics(), Run(tmp_path / "rough").metrics()
    assert [line["epoch"] for line in rough] == [1, 2, 3]
    assert rough[0]["train"] == calm[0]["train"]
    assert [line["lr"] for line in rough[1:]] == [line["lr"] / 2 for line in calm[1:]]
    assert [line.get("rollbacks") for line in rough] == [None, 1, 1]
    [noted] = read(tmp_path / "rough", "result.json")["training"]["rollbacks"]
    assert (noted["epoch"], noted["step"], noted["to_epoch"]) == (2, 15, 1)


@pytest.mark.parametrize("cut", [20, 26])
def test_rollback_is_the_same_after_an_interruption(shapes, strop, tmp_path, monkeypatch, cut):
    """Killed after going back, saving every update in one run and only epochs in the other: equal bytes."""
    with monkeypatch.context() as patch:
        spoil(patch, True)
        assert strop("train", shapes, *BACK, "--out", "whole").code == 0
    with monkeypatch.context() as patch:
        spoil(patch, True)
        save, count = training.Training._save, itertools.count(1)

        def save_and_cut(self, progress, **more):
            save(self, progress, **more)
            if next(count) == cut:
                self.checkpoints.wait()
                raise KeyboardInterrupt

        patch.setattr(training.Training, "_save", save_and_cut)
        assert strop("train", shapes, *BACK, "--out", "cut", "--save-minutes", 0).code == 130
    assert strop("train", shapes, *BACK, "--out", "cut").code == 0
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert without_clock(tmp_path / "cut") == without_clock(tmp_path / "whole")
    assert (
        Run(tmp_path / "cut").result["training"]["rollbacks"] == Run(tmp_path / "whole").result["training"]["rollbacks"]
    )


def test_rollback_ends_after_three_times(shapes, strop, monkeypatch):
    """A rate that no halving helps is a failure, not a loop."""
    spoil(monkeypatch, True, True, True, True)
    failed = strop("train", shapes, *BACK)
    assert failed.code == 1 and "Going back 3 times and halving the rate did not help" in failed.err


def test_patience_stops_when_nothing_gets_better(shapes, strop, tmp_path, read, monkeypatch):
    """Validation that is best in epoch 2 ends the run after epoch 4 of 9, again when resumed; best and last stay."""
    scores = {1: 0.5, 2: 0.7, 3: 0.6, 4: 0.7}
    real, epoch = training.Training._validate, itertools.count(1)
    monkeypatch.setattr(
        training.Training, "_validate", lambda *given: real(*given) | {"accuracy": scores[next(epoch)], "loss": 1.0}
    )
    words = ["train", shapes, *FAST[:4], "--epochs", 9, "--batch-size", 16, "--lr", 0.01, "--patience", 2]
    assert strop(*words).code == 0
    run = tmp_path / "runs" / "cnn3"
    facts = read(run, "result.json")["training"]
    assert (facts["epochs"], facts["best_epoch"], facts["stopped_early"]) == (4, 2, True)
    assert [entry["checkpoint"] for entry in read(run, "result.json")["measured"]] == ["best", "last"]
    assert (run / "checkpoints" / "last.safetensors").read_bytes() != weights(run)


def test_patience_needs_validation(shapes, strop):
    """Said before anything runs."""
    refused = strop("train", shapes, *FAST[:2], "--validation", "0%", "--patience", 2)
    assert refused.code == 2 and "--patience 2: needs validation pictures" in refused.err


def test_sigterm_within_ten_seconds(shapes, tmp_path):
    """A real process with a real signal, at a training that saves by itself only every three minutes."""
    words = [sys.executable, "-m", "strop", "train", str(shapes), *map(str, FAST[:4]), "--epochs", "500"]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "runs" / "cnn3" / "metrics.jsonl"
    for line in process.stdout:
        if re.match(r" +\d+/500", line):
            break
    process.terminate()
    _, err = process.communicate(timeout=10)
    assert process.returncode == 143, err
    assert metrics.is_file() and list((tmp_path / "runs" / "cnn3" / "checkpoints").glob("step-*.json"))


@pytest.fixture
def half_done(shapes, strop, monkeypatch):
    """FAST, cut off in its third epoch."""
    with monkeypatch.context() as patch:
        save = training.Training._save

        def save_and_cut(self, progress, **more):
            save(self, progress, **more)
            if progress.step == 27:
                self.checkpoints.wait()
                raise KeyboardInterrupt

        patch.setattr(training.Training, "_save", save_and_cut)
        assert strop("train", shapes, *FAST, "--save-minutes", 0).code == 130


def test_the_best_of_an_unfinished_run_is_exported_and_says_so(half_done, strop, tmp_path, read, shapes, same_as_whole):
    """A model folder of its own, measured as the epoch was; the training then goes on untouched."""
    refused = strop("export", "runs/cnn3")
    assert refused.code == 2 and "train is unfinished here" in refused.err
    exported = strop("export", "runs/cnn3", "--unfinished")
    assert exported.code == 0, exported.err
    [taken] = (tmp_path / "runs").glob("cnn3-epoch-?")
    epoch = int(taken.name[-1])
    line = Run(tmp_path / "runs" / "cnn3").metrics()[epoch - 1]
    assert read(taken, "result.json")["measured"][0]["accuracy"] == line["val"]["accuracy"]
    card = (tmp_path / "runs" / f"{taken.name}-export" / "README.md").read_text()
    assert f"unfinished (epoch {epoch})" in card
    assert strop("train", shapes, *FAST).code == 0
    same_as_whole(tmp_path / "runs" / "cnn3")
    finished = strop("export", "runs/cnn3", "--unfinished")
    assert finished.code == 2 and "is finished. Leave --unfinished out" in finished.err


def test_drafts_of_a_killed_process_are_removed(half_done, strop, tmp_path, shapes):
    """kill -9 inside a write leaves a draft as large as a checkpoint; going on removes it."""
    draft = tmp_path / "runs" / "cnn3" / "checkpoints" / ".step-00000028.safetensors.123.draft"
    draft.write_bytes(b"half")
    assert strop("train", shapes, *FAST).code == 0
    assert not draft.exists()
