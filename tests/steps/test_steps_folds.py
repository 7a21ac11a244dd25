"""Cross-validation, and rounds in which the held-out part moves: what is measured, what is not, and resuming."""

import itertools

import numpy as np
import pytest

from strop.runs import Run
from strop.steps import start, training
from strop.steps.train import Train

FAST = ("--model", "cnn2", "--epochs", 1, "--batch-size", 32, "--lr", 0.01, "--normalize", "half")


class PowerCut(BaseException):
    """Ends a training at a place where no code can prepare for it."""


def cut_after(patch, updates):
    """Every update is saved; after so many the power goes."""
    count, save = itertools.count(1), training.Training._save

    def save_and_cut(self, *given, **more):
        save(self, *given, **more)
        if next(count) == updates:
            self.checkpoints.wait()
            raise PowerCut

    patch.setattr(training.Training, "_save", save_and_cut)


@pytest.fixture(scope="module")
def opened():
    """The splits that were opened."""
    return []


@pytest.fixture(scope="module")
def folder(tmp_path_factory, shapes, strop_in, opened):
    """A working folder with runs/cv, two folds, and runs/all, two rounds."""
    folder = tmp_path_factory.mktemp("folds")
    original = start.pictures
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            start, "pictures", lambda data, split, **how: opened.append(split) or original(data, split, **how)
        )
        for words in (("crossval", "--folds", 2, "--id", "cv"), ("train", "--rotate", 2, "--id", "all")):
            outcome = strop_in(folder, words[0], shapes, *words[1:], *FAST)
            assert outcome.code == 0, outcome.err
            (folder / f"{words[-1]}.txt").write_text(outcome.out)
    return folder


@pytest.fixture
def runs(folder):
    return folder / "runs"


def test_every_picture_is_held_out_once(runs):
    """The parts are disjoint, together all of train, and nothing else."""
    names = [name for k in (1, 2) for name in Run(runs / f"cv/folds/fold-{k}").data["validation"]["names"]]
    assert len(names) == len(set(names)) == 240


def test_mean_and_sd_are_those_of_the_folds(runs):
    """numpy's, with k - 1 in the sd, for the best and the last epoch."""
    block = Run(runs / "cv").result["cross_validation"]
    for number, checkpoint in enumerate(("best", "last")):
        entries = [Run(runs / f"cv/folds/fold-{k}").result["measured"][number] for k in (1, 2)]
        for name in ("accuracy", "macro_recall", "loss"):
            values = [entry[name] for entry in entries]
            assert block[checkpoint][name]["mean"] == pytest.approx(np.mean(values), abs=1e-6)
            assert block[checkpoint][name]["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-6)
        pooled, hits = block[checkpoint]["pooled"], sum(entry["accuracy"] * entry["n"] for entry in entries)
        assert pooled["n"] == 240 and pooled["accuracy"] == pytest.approx(hits / 240)
        assert np.sum(pooled["confusion"], axis=1).tolist() == [60] * 4


def test_a_fold_is_the_training_that_has_its_name(runs, folder, shapes, strop_in):
    """`train --fold 2/2` gives the same bytes."""
    assert strop_in(folder, "train", shapes, "--fold", "2/2", "--id", "second", *FAST).code == 0
    weights = [runs / "cv/folds/fold-2/model.safetensors", runs / "second/model.safetensors"]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_test_pictures_are_left_alone(folder, opened, runs):
    """Neither command opens them, and no result speaks of them."""
    assert set(opened) == {"train", "val"}
    splits = [entry["split"] for k in (1, 2) for entry in Run(runs / f"cv/folds/fold-{k}").result["measured"]]
    assert set(splits) == {"val"}


def test_what_is_told(folder, runs):
    """The figures with their spread, and what they are not, in 80 columns."""
    said = (folder / "cv.txt").read_text()
    accuracy = Run(runs / "cv").result["cross_validation"]["best"]["accuracy"]
    shown = f"accuracy {100 * accuracy['mean']:.2f} %, sd {100 * accuracy['sd']:.2f} over 2 folds (best epoch of each)"
    assert shown in said and "There is no model of all folds" in " ".join(said.split())
    assert all(len(line) <= 80 for line in said[said.index("accuracy") :].splitlines())
    assert (runs / "cv" / "confusion_matrix.png").is_file()


def test_a_parent_or_teacher_that_saw_the_held_out_pictures_is_told(folder, shapes, strop_in):
    """The teacher was trained on one of two folds, so 120 pictures are nothing new to it."""
    assert strop_in(folder, "train", shapes, "--fold", "1/2", "--id", "first", *FAST).code == 0
    outcome = strop_in(folder, "crossval", shapes, "--folds", 2, "--id", "taught", "--teacher", "runs/first", *FAST)
    assert outcome.code == 0, outcome.err
    said = "The teacher was trained on 120 of the held-out pictures: these figures are too good"
    assert said in Run(folder / "runs/taught").result["note"] and said in " ".join(outcome.out.split())


def test_cross_validation_resumes(folder, tmp_path, shapes, strop_in, monkeypatch, runs):
    """Cut off in the second fold; the first is not trained again, and the figures are the same."""
    words = ("crossval", shapes, "--folds", 2, "--id", "cv", "--save-minutes", 0, *FAST)
    with monkeypatch.context() as patch:
        cut_after(patch, 6)  # 120 pictures are 4 updates
        with pytest.raises(PowerCut):
            strop_in(tmp_path, *words)
    outcome = strop_in(tmp_path, *words)
    assert outcome.code == 0 and "fold-1: already done" in outcome.out and "resumed at step 2 of 4" in outcome.out
    ours, theirs = (Run(place / "cv").result["cross_validation"] for place in (tmp_path / "runs", runs))
    assert ours["best"] == theirs["best"] and ours["last"] == theirs["last"]


def test_a_fold_that_fails_leaves_the_others(folder, tmp_path, shapes, strop_in, monkeypatch):
    """What was trained stays, so that the corrected command goes on from it."""
    from strop.errors import UserError

    count, make = itertools.count(1), start.start_model

    def fail_second(*given):
        if next(count) == 2:
            raise UserError("model", "something is wrong.")
        return make(*given)

    monkeypatch.setattr(start, "start_model", fail_second)
    assert strop_in(tmp_path, "crossval", shapes, "--folds", 2, "--id", "cv", *FAST).code == 2
    assert sorted(path.name for path in (tmp_path / "runs/cv/folds").iterdir()) == ["fold-1"]


def test_rounds_claim_no_validation(folder, runs):
    """No entry, no held-out pictures in data.json, and a sentence that says why, also on the screen."""
    run = Run(runs / "all")
    assert run.result["measured"] == [] and "no validation estimate" in run.result["note"]
    assert run.data["validation"]["names"] == [] and sum(run.data["counts"]["train"].values()) == 240
    assert "no validation estimate" in " ".join((folder / "all.txt").read_text().split())
    phases = run.result["training"]["phases"]
    assert len(phases) == 2 and not any("best_accuracy" in phase for phase in phases)
    assert [(line["epoch"], line["phase"]) for line in run.metrics()] == [(1, 1), (2, 2)]
    assert "phase 2 of 2: 1 epochs, lr 0.01, fold 2/2 held out" in (folder / "all.txt").read_text()


def test_the_first_round_is_the_training_on_its_fold(folder, runs, shapes, strop_in):
    """Then the next goes on from its weights: they move."""
    assert strop_in(folder, "train", shapes, "--fold", "1/2", "--id", "first", *FAST).code == 0
    kept = [(runs / f"all/checkpoints/phase-{k}/best.safetensors").read_bytes() for k in (1, 2)]
    assert kept[0] == (runs / "first/model.safetensors").read_bytes()
    assert len(set(kept)) == 2 and kept[1] == (runs / "all/model.safetensors").read_bytes()


def test_rounds_resume(tmp_path, shapes, strop_in, monkeypatch, runs):
    """Cut off in the second round, the same command ends with the same bytes."""
    words = ("train", shapes, "--rotate", 2, "--id", "all", "--save-minutes", 0, *FAST)
    with monkeypatch.context() as patch:
        cut_after(patch, 6)
        with pytest.raises(PowerCut):
            strop_in(tmp_path, *words)
    assert strop_in(tmp_path, *words).code == 0
    weights = "all/model.safetensors"
    assert (tmp_path / "runs" / weights).read_bytes() == (runs / weights).read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("crossval", "--fold", "1/3"), "--fold: has no effect here; each fold is held out once."),
        (("crossval", "--rotate", 3), "--rotate: has no effect here"),
        (("crossval", "--folds", 1), "--folds: '1' is out of range."),
        (("train", "--rotate", 3, "--fold", "1/3"), "--rotate: each of its rounds holds out a fold and trains alike."),
        (("train", "--rotate", 3, "--phases", "head all"), "Leave phases out."),
    ],
)
def test_what_contradicts_is_refused(tmp_path, shapes, strop_in, words, said):
    """Each with what to do."""
    outcome = strop_in(tmp_path, words[0], shapes, *words[1:], *FAST)
    assert outcome.code == 2 and said in outcome.err


def test_early_stopping_goes_with_rounds():
    """Each round has pictures to stop by."""
    step = Train(data="fashion-mini", model="cnn2", rotate=4, patience=2)
    step.check({}, step.open_data({}))
