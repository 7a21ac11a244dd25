"""Options of a training that meet each other, from the command line to the files."""

import itertools

import pytest
import safetensors.torch
import torch

from strop import load
from strop.runs import Run
from strop.steps import training
from strop.steps.parts import written_optimizer
from strop.steps.train import Train
from strop.steps.training import Training

EVERYTHING = [
    *("--ema", "0.9", "--sam", "0.05", "--augment", "light+mixup:alpha=0.4+cutmix", "--optimizer", "timm:lamb"),
    *("--layer-decay", "0.8", "--clip", "1.0", "--class-weights", "balanced", "--sampling", "balanced"),
    *("--schedule", "one-cycle", "--warmup-epochs", "0.5", "--loss", "bce:threshold=0.2", "--accumulate", "2"),
]


def words(shapes, *more):
    return ["train", shapes, "--model", "cnn3", "--validation", "20%", "--epochs", 2, "--batch-size", 32, *more]


class PowerCut(BaseException):
    """Ends a training at a place where no code can prepare for it."""


def test_all_of_them_go_on_to_the_bit(tmp_path, shapes, strop_in, monkeypatch):
    """EMA, SAM, mixing, an optimizer that counts in its groups: cut off after 3 of 12 updates, the same bytes."""
    assert strop_in(tmp_path, *words(shapes, *EVERYTHING, "--out", "whole")).code == 0
    count, save = itertools.count(1), Training._save

    def save_and_cut(self, progress):
        save(self, progress)
        if next(count) == 3:
            self.checkpoints.wait()
            raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(training.Training, "_save", save_and_cut)
        with pytest.raises(PowerCut):
            strop_in(tmp_path, *words(shapes, *EVERYTHING, "--out", "cut", "--save-minutes", 0))
    outcome = strop_in(tmp_path, *words(shapes, *EVERYTHING, "--out", "cut"))
    assert outcome.code == 0 and "resumed at step 3 of 12" in outcome.out, outcome.err
    for file in ("model.safetensors", "checkpoints/last.safetensors"):
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_what_is_kept_is_the_average(tmp_path, shapes, strop_in, monkeypatch):
    """model.safetensors, last.safetensors and the validation figures are those of the average, not of the weights."""
    seen = []
    finish = Training._finish

    def note(self):
        seen.append({name: tensor.clone() for name, tensor in self.model.net.state_dict().items()})
        seen.append({name: tensor.clone() for name, tensor in self.average.items()})
        return finish(self)

    monkeypatch.setattr(Training, "_finish", note)
    assert strop_in(tmp_path, *words(shapes, "--ema", "0.8", "--lr", "0.02")).code == 0
    weights, average = seen
    run = Run.open(tmp_path / "runs" / "cnn3")
    last = safetensors.torch.load_file(run.folder / "checkpoints" / "last.safetensors")
    assert all(torch.equal(last[name], average[name]) for name in average)
    assert not torch.equal(last["fc.weight"], weights["fc.weight"])
    figures = [line["val"]["accuracy"] for line in run.metrics()]
    best, final = run.result["measured"]
    assert best["accuracy"] == max(figures) and final["accuracy"] == figures[-1]


def test_an_average_of_sparse_weights_is_refused(tmp_path, shapes, strop_in):
    outcome = strop_in(tmp_path, *words(shapes, "--ema", "0.9", "--sparsify", "l1"))
    assert outcome.code == 2 and "--ema: an average of weights has none of the zeros" in outcome.err


def dropout_of(folder):
    return load(folder).net.dropout


def test_dropout_goes_with_the_model(tmp_path, shapes, strop_in):
    """From scratch, on a parent with another one, pruned with a third; a run that says nothing keeps its parent's."""
    quick = ["--epochs", "1", "--batch-size", "64"]
    assert strop_in(tmp_path, "train", shapes, "--model", "cnn2", "--dropout", "0.3", "--id", "a", *quick).code == 0
    assert strop_in(tmp_path, "train", shapes, "--parent", "runs/a", "--dropout", "0.1", "--id", "b", *quick).code == 0
    outcome = strop_in(tmp_path, "prune", "runs/b", "--params", "50%", "--dropout", "0.2", "--id", "c", *quick)
    assert outcome.code == 0, outcome.err
    assert strop_in(tmp_path, "train", shapes, "--parent", "runs/c", "--id", "d", *quick).code == 0
    assert [dropout_of(tmp_path / "runs" / name).p for name in "abcd"] == [0.3, 0.1, 0.2, 0.2]
    refused = strop_in(
        tmp_path, "train", shapes, "--model", "resnet18", "--dropout", "0.2", "--drop-path", "0.1", *quick
    )
    assert refused.code == 2 and not (tmp_path / "runs" / "resnet18").exists()
    assert "dropout: 'resnet18' of torchvision has no dropout to set. Leave it out." in refused.err
    assert "drop_path: 'resnet18' of torchvision has no stochastic depth to set. Leave it out." in refused.err


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("sgd", "sgd"),
        ("sgd:momentum=0.9", "sgd"),
        ("adamw:beta2=0.95", "adamw:beta2=0.95"),
        ({"adam": {"eps": 1e-6}}, "adam:eps=1e-06"),
        ("timm:lamb", "timm:lamb"),
        ({"timm:lamb": {"beta1": 0.9, "beta2": 0.98}}, "timm:lamb:beta1=0.9,beta2=0.98"),
    ],
)
def test_an_optimizer_is_written_as_it_is_read(given, written):
    """In result.json it stands without its defaults, and that text is the same optimizer again."""
    first = Train(data="fashion-mini", model="cnn2", optimizer=given).optimizer
    assert written_optimizer(first) == written
    assert Train(data="fashion-mini", model="cnn2", optimizer=written).optimizer == first
