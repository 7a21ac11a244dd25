"""Who can teach: runs, several, the unpruned parent, a published network; and who is refused, with what to write."""

import pytest
import safetensors.torch
import torch

from strop import artifact
from strop.data.dataset import open_data
from strop.errors import UserError
from strop.models import build
from strop.recipe import Recipe
from strop.runs import Run
from strop.steps.teachers import load_teacher, open_teachers, unpruned
from strop.steps.train import Train
from strop.yaml import read_yaml

FAST = ("--epochs", 1, "--validation", "20%", "--batch-size", 32, "--lr", 0.01)


@pytest.fixture(scope="module")
def pruned(trained, strop_in):
    """runs/cut pruned from runs/small, and runs/cut-again from that, neither fine-tuned for long."""
    for parent, name in (("small", "cut"), ("cut", "cut-again")):
        words = ("--params", "60%", "--epochs", 1, "--batch-size", 64, "--lr", 0.01, "--distill", "none")
        outcome = strop_in(trained, "prune", f"runs/{parent}", "--id", name, *words)
        assert outcome.code == 0, outcome.err
    return trained


def test_how_teachers_are_written():
    """Text, a list, a run, weights of a file with its whole path; one is written back as text."""

    def read(teacher):
        return Train(data="d", model="cnn3", teacher=teacher).teacher

    assert read("a, b") == read(["a", "b"]) == ["a", "b"] and read(Run("a")) == ["a"]
    assert read("tv:resnet18:weights=/w.safetensors,b") == ["tv:resnet18:weights=/w.safetensors", "b"]
    assert read("resnet18:weights=w.safetensors")[0].endswith("/w.safetensors")
    assert Train(data="d", model="cnn3", teacher="a").settings()["teacher"] == "a"
    assert Train(data="d", model="cnn3", teacher="a,b").settings()["teacher"] == ["a", "b"]
    with pytest.raises(UserError, match="'a' is given twice"):
        read("a,b,a")


def test_two_runs_teach_together(pruned, shapes, strop_in, read):
    """Both are parents in run.json and in the config; what teaches is the mean of their probabilities."""
    words = ("--teacher", "runs/small,runs/cut", "--id", "of-two")
    outcome = strop_in(pruned, "train", shapes, "--model", "cnn2", *words, *FAST)
    assert outcome.code == 0, outcome.err
    assert "teachers, the mean of their probabilities: small (24 px), cut (24 px)" in outcome.out
    folder = pruned / "runs" / "of-two"
    assert {role: parent["id"] for role, parent in read(folder)["parents"].items()} == {
        "teacher": "small",
        "teacher-2": "cut",
    }
    written = read_yaml(folder / "config.yaml")["steps"][0]["train"]["teacher"]
    assert written == [str((pruned / "runs" / name).resolve()) for name in ("small", "cut")]
    again = strop_in(pruned, "run", folder / "config.yaml", "--out", "runs")
    assert again.code == 0 and "already done" in again.out
    runs = {"teacher": Run(pruned / "runs" / "small"), "teacher-2": Run(pruned / "runs" / "cut")}
    both = load_teacher(["a", "b"], Run(folder), runs, None).eval()
    images = torch.randint(0, 256, (3, 1, 24, 24), dtype=torch.uint8)
    with torch.no_grad():
        mean = sum(artifact.load(run)(images).softmax(1) for run in runs.values()) / 2
        torch.testing.assert_close(both(images).exp(), mean)


def test_the_unpruned_parent(pruned):
    """The run that was pruned first, however often it was pruned since; a run that never was is its own."""
    runs = {name: Run(pruned / "runs" / name) for name in ("small", "cut", "cut-again")}
    assert [unpruned(run).id for run in runs.values()] == ["small"] * 3
    assert open_teachers(["parent"], {"parent": runs["cut-again"]})["teacher"].id == "small"
    with pytest.raises(UserError, match="there is none. Add --parent RUN"):
        open_teachers(["parent"], {})


def test_fine_tuning_under_the_unpruned_parent(pruned, shapes, strop_in, read):
    """By command; hints find the same stages in both, at other widths."""
    words = ("--parent", "runs/cut", "--teacher", "parent", "--distill", "kd+hint", "--id", "tuned-cut")
    outcome = strop_in(pruned, "train", shapes, *words, *FAST)
    assert outcome.code == 0, outcome.err
    parents = read(pruned / "runs" / "tuned-cut")["parents"]
    assert (parents["parent"]["id"], parents["teacher"]["id"]) == ("cut", "small")


def test_a_network_with_weights_of_a_file(shapes, tmp_path):
    """At its own size, with what its library says its weights want; a grey picture becomes three channels."""
    data = open_data(str(shapes), seed=0)
    torch.manual_seed(0)
    net = build("timm:test_resnet", num_classes=4)
    safetensors.torch.save_file(net.state_dict(), tmp_path / "w.safetensors")
    (tmp_path / "run.json").write_text("{}")
    teacher = load_teacher([f"timm:test_resnet:weights={tmp_path}/w.safetensors"], Run(tmp_path), {}, data).eval()
    assert teacher.preprocess.shape == (3, 160, 160) and teacher.preprocess.mean == (0.5, 0.5, 0.5)
    assert [about["name"] for about in Run(tmp_path).record["teachers"]] == ["timm:test_resnet"]
    images = torch.randint(0, 256, (2, 1, 24, 24), dtype=torch.uint8)
    grey = images.float().expand(-1, 3, -1, -1) / 127.5 - 1
    grown = torch.nn.functional.interpolate(grey, size=(160, 160), mode="bilinear", antialias=True)
    with torch.no_grad():
        torch.testing.assert_close(teacher(images), net.eval()(grown), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        ("resnet18", "its published weights answer 1000 classes, and the data have 4. Fine-tune it first: strop train"),
        ("cnn3", "has no published weights. Write cnn3:weights=FILE.safetensors, or the run that trained it."),
        ("resnet18:weights=no.pth", "no.pth' is no .safetensors file."),
        ("runs/smal", "is neither a run folder nor a network. Give a folder that strop made, parent, or a name"),
        ("parent", "there is none. Add --parent RUN, or name the teacher's run."),
        ("runs/small,runs/small", "'runs/small' is given twice. Name each teacher once."),
    ],
)
def test_who_is_refused(trained, shapes, strop_in, teacher, said):
    """Exit code 2, what to write instead, and nothing left behind."""
    outcome = strop_in(trained, "train", shapes, "--model", "cnn2", "--teacher", teacher, "--id", "wrong", *FAST)
    assert outcome.code == 2 and said in outcome.err.replace("\n", " "), outcome.err
    assert not (trained / "runs" / "wrong").exists()


def test_a_teacher_of_other_classes(pruned, trained, shapes, tmp_path, strop_in):
    """The weights of a file with another head; maps of two teachers."""
    net = build("timm:test_resnet", num_classes=7)
    safetensors.torch.save_file(net.state_dict(), tmp_path / "w.safetensors")
    words = ("train", shapes, "--model", "cnn2", "--id", "wrong", *FAST, "--teacher")
    outcome = strop_in(trained, *words, f"timm:test_resnet:weights={tmp_path}/w.safetensors")
    assert outcome.code == 2 and "in the file is for other classes than the 4 here" in outcome.err.replace("\n", " ")
    outcome = strop_in(trained, *words, "runs/small,runs/small-export", "--distill", "kd")
    assert outcome.code == 2 and "needs a float model" in outcome.err
    outcome = strop_in(trained, *words, "runs/small,runs/cut", "--distill", "hint")
    assert outcome.code == 2 and "compares maps with those of one teacher. Name one run." in outcome.err
    assert not (trained / "runs" / "wrong").exists()


def test_in_a_recipe(tmp_path):
    """Ids of earlier steps, several too, networks and `parent`; a mistyped id is told."""
    steps = """data: d
steps:
  - train: {id: a, model: cnn2}
  - train: {id: b, model: cnn3}
  - train: {id: c, model: cnn2, teacher: "a,b"}
  - train: {id: d, parent: c, teacher: [parent, resnet18]}
"""
    (tmp_path / "good.yaml").write_text(steps)
    assert [step.teacher for step in Recipe.load(tmp_path / "good.yaml").steps[2:]] == [
        ["a", "b"],
        ["parent", "resnet18"],
    ]
    (tmp_path / "bad.yaml").write_text(steps.replace('"a,b"', '"a,bb"'))
    with pytest.raises(UserError, match="teacher: 'bb' is neither an earlier step nor a run folder"):
        Recipe.load(tmp_path / "bad.yaml")
