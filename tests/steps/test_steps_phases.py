"""Training in phases: the same as a chain of steps, resumed to the bit in any of them, and one log for all."""

import itertools
import shutil

import pytest
from safetensors.torch import load_file

from strop.errors import UserError
from strop.recipe import Recipe
from strop.runs import Run
from strop.steps import phases as module
from strop.steps import training
from strop.steps.train import Train

FAST = ("--batch-size", 32, "--warmup", 0)
TWO = "head:lr=0.02,epochs=2 layer3+head:lr=0.005,epochs=2"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, shapes):
    """With a validation folder of its own, so that it does not depend on the seed."""
    root = tmp_path_factory.mktemp("phases") / "shapes"
    shutil.copytree(shapes / "train", root / "train")
    shutil.copytree(shapes / "test", root / "val")
    return root


@pytest.fixture(scope="module")
def one_go(tmp_path_factory, pictures, strop_in):
    """A working folder with runs/two, trained in two phases and never stopped."""
    folder = tmp_path_factory.mktemp("one-go")
    outcome = strop_in(folder, *words(pictures))
    assert outcome.code == 0, outcome.err
    return folder, outcome


def words(pictures, *more):
    return ("train", pictures, "--model", "cnn3", "--phases", TWO, "--id", "two", *FAST, *more)


def tensors(path):
    return path.read_bytes()


def lines(run, first=0):
    """Of metrics.jsonl, without the clock and without what only phases have."""
    clock = {"seconds", "images_per_second", "phase", "epoch"}
    return [{name: value for name, value in line.items() if name not in clock} for line in Run(run).metrics()[first:]]


def test_phases_are_a_chain_of_steps(one_go, pictures, strop_in):
    """The head, then a run from its best with layer3 too and the next seed: the same weights and figures."""
    folder, _ = one_go
    head = ("--freeze", "all-but-head", "--lr", 0.02, "--epochs", 2, "--id", "first")
    more = ("--freeze", "layer1,layer2", "--lr", 0.005, "--epochs", 2, "--id", "second")
    assert strop_in(folder, "train", pictures, "--model", "cnn3", *head, *FAST).code == 0
    assert strop_in(folder, "train", pictures, "--parent", "runs/first", "--seed", 1, *more, *FAST).code == 0
    runs = folder / "runs"
    assert tensors(runs / "two/checkpoints/phase-1/best.safetensors") == tensors(runs / "first/model.safetensors")
    last = "checkpoints/last.safetensors"
    assert tensors(runs / "two" / last) == tensors(runs / "second" / last)
    assert lines(runs / "two") == lines(runs / "first") + lines(runs / "second")
    better = max(("first", "second"), key=lambda name: Run(runs / name).result["measured"][0]["accuracy"])
    assert tensors(runs / "two/model.safetensors") == tensors(runs / better / "model.safetensors")


def test_one_phase_is_a_training(tmp_path, pictures, strop_in):
    """All of it, with no second phase: what a plain training gives."""
    plain = ("train", pictures, "--model", "cnn2", "--lr", 0.01, "--epochs", 2, *FAST)
    assert strop_in(tmp_path, *plain, "--out", "plain").code == 0
    assert strop_in(tmp_path, *plain, "--phases", "all", "--out", "phased").code == 0
    assert tensors(tmp_path / "plain/model.safetensors") == tensors(tmp_path / "phased/model.safetensors")


def test_the_log_goes_on_and_the_result_tells_the_phases_apart(one_go):
    """Epochs 1 to 4, and for each phase what was frozen, its learning rate, and how far it came."""
    folder, outcome = one_go
    run = Run(folder / "runs" / "two")
    assert [(line["epoch"], line["phase"]) for line in run.metrics()] == [(1, 1), (2, 1), (3, 2), (4, 2)]
    rows = (run.folder / "results.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in rows] == ["epoch", "1", "2", "3", "4"]
    block = run.result["training"]
    first, second = block["phases"]
    head = 4 * (64 * 9 + 1)
    assert (first["frozen"], first["trainable_parameters"]) == (["layer1", "layer2", "layer3"], head)
    third = (32 * 25 + 1) * 64 + 128
    assert (second["frozen"], second["trainable_parameters"]) == (["layer1", "layer2"], head + third)
    assert (first["lr"], second["lr"]) == (0.02, 0.005)
    assert first["optimizer"] == second["optimizer"] == block["optimizer"] == "sgd"
    assert block["epochs"] == 4 and 1 <= first["best_epoch"] <= 2 < second["best_epoch"] <= 4
    losses = [line["train"]["loss"] for line in run.metrics()]
    assert block["min_loss"] == pytest.approx(min(losses), abs=1e-5)
    assert block["final_loss"] == pytest.approx(losses[-1], abs=1e-5)
    assert "phase 1 of 2: 2 epochs, lr 0.02" in outcome.out and "phase 2 of 2: 2 epochs, lr 0.005" in outcome.out
    assert not list(run.folder.glob("checkpoints/**/step-*"))


class PowerCut(BaseException):
    """Ends a training at a place where no code can prepare for it."""


def resumed(tmp_path, pictures, strop_in, one_go):
    """The same command again ends with the bytes and the log of one go."""
    outcome = strop_in(tmp_path, *words(pictures, "--save-minutes", 0))
    assert outcome.code == 0, outcome.err
    ours, theirs = tmp_path / "runs" / "two", one_go[0] / "runs" / "two"
    for name in ("model.safetensors", "checkpoints/last.safetensors"):
        assert tensors(ours / name) == tensors(theirs / name)
    assert len((ours / "results.csv").read_text().splitlines()) == 5
    assert lines(ours) == lines(theirs) and [line["epoch"] for line in Run(ours).metrics()] == [1, 2, 3, 4]
    assert Run(ours).result["measured"] == Run(theirs).result["measured"]
    return outcome


@pytest.mark.parametrize("updates", [3, 13, 22])  # 8 an epoch: in the first phase, and in the second phase's epochs
def test_resume_in_any_phase(tmp_path, pictures, strop_in, one_go, monkeypatch, updates):
    """Cut off after some update, with a checkpoint after each."""
    count, save = itertools.count(1), training.Training._save

    def save_and_cut(self, *given, **more):
        save(self, *given, **more)
        if next(count) == updates:
            self.checkpoints.wait()
            raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(training.Training, "_save", save_and_cut)
        with pytest.raises(PowerCut):
            strop_in(tmp_path, *words(pictures, "--save-minutes", 0))
    said = resumed(tmp_path, pictures, strop_in, one_go).out
    assert "resumed at step" in said and ("phase 1 of 2: done" in said) == (updates > 16)


def test_resume_between_phases(tmp_path, pictures, strop_in, one_go, monkeypatch):
    """Cut off while a phase is being closed: its weights are there, that it is done is not."""

    def cut(*_):
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_json", cut)
        with pytest.raises(PowerCut):
            strop_in(tmp_path, *words(pictures, "--save-minutes", 0))
    resumed(tmp_path, pictures, strop_in, one_go)


def test_a_damaged_phase_is_trained_again(tmp_path, pictures, strop_in, one_go):
    """A flipped byte in what a phase left is noticed; the phases behind it, whose log goes, are trained again too."""
    shutil.copytree(one_go[0] / "runs" / "two", tmp_path / "runs" / "two")
    run = Run(tmp_path / "runs" / "two")
    best = run.folder / "checkpoints/phase-1/best.safetensors"
    best.write_bytes(best.read_bytes()[:-1] + b"\xff")
    record = run.record | {"status": "running"}
    module.write_json(run.folder / "run.json", record)
    assert "phase 1 is trained again" in resumed(tmp_path, pictures, strop_in, one_go).out


def test_the_best_of_all_phases_is_kept(tmp_path, pictures, strop_in):
    """A second phase that ruins the weights does not get into the model; the last epoch lies beside it."""
    phases = "all:lr=0.01,epochs=2 all:lr=20,epochs=1"
    outcome = strop_in(tmp_path, "train", pictures, "--model", "cnn2", "--phases", phases, "--out", "run", *FAST)
    assert outcome.code == 0 and "phase 1 was better on validation" in outcome.out
    best, last = Run(tmp_path / "run").result["measured"]
    assert best["accuracy"] > last["accuracy"] and Run(tmp_path / "run").result["training"]["best_epoch"] <= 2
    kept = load_file(tmp_path / "run/checkpoints/phase-1/best.safetensors")
    assert all((tensor == kept[name]).all() for name, tensor in load_file(tmp_path / "run/model.safetensors").items())


def test_an_unknown_stage_in_a_later_phase_stops_the_first(tmp_path, pictures, strop_in):
    """Before any training, and nothing is left behind."""
    phases = "head:epochs=1 layer9+head:epochs=1"
    outcome = strop_in(tmp_path, "train", pictures, "--model", "cnn2", "--phases", phases, *FAST)
    assert outcome.code == 2 and "phases: 'layer9' is no stage of this network. Its stages: layer1" in outcome.err
    assert not (tmp_path / "runs" / "cnn2").exists()


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        ("head:epoch=3", "--phases: phase 1, epoch: unknown option. Did you mean 'epochs'?"),
        ("all head:model=cnn2", "--phases: phase 2, model: is the same in all phases."),
        ("head:lr=fast", "--phases: phase 1, lr: 'fast' is not a number."),
        ("head:lr", "'lr' has no value. Write for example head:lr=0.1,epochs=5"),
        ("head:lr=parent/10", "--phases: phase 1, lr: 'parent/10' needs a parent."),
    ],
)
def test_mistakes_in_phases_are_told(tmp_path, strop_in, phases, said):
    """With the phase and the option."""
    outcome = strop_in(tmp_path, "train", "fashion-mini", "--model", "cnn2", "--phases", phases)
    assert outcome.code == 2 and said in outcome.err and not (tmp_path / "runs").exists()


def test_phases_in_a_recipe(tmp_path):
    """As a list; text and list are the same step, and what a phase does not say is the step's."""
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "steps:\n- train:\n    data: fashion-mini\n    model: cnn3\n    epochs: 7\n    phases:\n"
        "    - {freeze: all-but-head, lr: 0.1}\n    - {freeze: none, epochs: 3, optimizer: adamw}\n"
    )
    (step,) = Recipe.load(path).steps
    text = Train(data="fashion-mini", model="cnn3", epochs=7, phases="head:lr=0.1 all:epochs=3,optimizer=adamw")
    assert step == text
    assert [phase["epochs"] for phase in step.phases] == [7, 3]
    assert [phase["lr"] for phase in step.phases] == [0.1, 0.001]  # adamw's default
    path.write_text(path.read_text().replace("lr: 0.1", "lr: yes"))
    with pytest.raises(UserError, match=r"steps\[0\].train.phases: phase 1, lr: 'yes' is not a number"):
        Recipe.load(path)
