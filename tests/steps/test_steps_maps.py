"""Losses on maps by command: adapters train, are resumed to the bit, and stay out of the model."""

import safetensors.torch
import torch

from strop import artifact
from strop.errors import Interrupted
from strop.runs import Run
from strop.steps import training
from strop.steps.train import Train
from strop.train import checkpoint
from strop.yaml import read_yaml

WORDS = {"batch_size": 32, "lr": 0.01, "epochs": 2, "validation": "20%"}


def step(trained, shapes, out, **options):
    data = {"source": str(shapes), "validation": "20%"}
    shared = {"data": data, "model": "cnn2", "teacher": str(trained / "runs" / "small"), "out": str(out)}
    return Train.model_validate(
        shared
        | {"distill": "kd+hint:student=layer2,teacher=layer3", "epochs": 2, "batch_size": 32, "lr": 0.01}
        | options
    )


def test_resumed_to_the_bit_and_not_in_the_model(trained, shapes, tmp_path, monkeypatch):
    """Stopped in the first epoch, the adapters and their momentum go on from the checkpoint; the model has none."""
    whole = step(trained, shapes, tmp_path / "whole", save_minutes=0).execute()
    seen = {}

    def stop(self, progress):
        if progress.step == 3:
            raise Interrupted(2, "stopped")

    with monkeypatch.context() as patch:
        patch.setattr(training.Training, "_stop_if_asked", stop)
        try:
            step(trained, shapes, tmp_path / "parts", save_minutes=0).execute()
        except Interrupted:
            seen = checkpoint.newest(tmp_path / "parts" / "checkpoints", print).tensors
    adapter = {name: tensor for name, tensor in seen.items() if name.startswith("objective.maps.")}
    assert {name: tuple(tensor.shape) for name, tensor in adapter.items()} == {
        "objective.maps.0.adapters.0.weight": (64, 32, 1, 1),
        "objective.maps.0.adapters.0.bias": (64,),
    }
    parts = step(trained, shapes, tmp_path / "parts", save_minutes=0).execute()
    bytes_of = [(run.folder / "model.safetensors").read_bytes() for run in (whole, parts)]
    assert bytes_of[0] == bytes_of[1]
    assert not any("adapter" in name or "maps" in name for name in safetensors.torch.load(bytes_of[0]))
    assert artifact.load(whole)(torch.zeros(1, 1, 24, 24, dtype=torch.uint8)).shape == (1, 4)
    moved = adapter["objective.maps.0.adapters.0.bias"]
    assert moved.abs().max() > 0, "the adapter is in the optimizer: its bias began at 0"


def test_a_pruned_student_and_its_parent(trained, strop_in):
    """Channels differ, names agree: the adapter is made for what is left."""
    words = ("--params", "50%", "--epochs", 1, "--batch-size", 32, "--lr", 0.01, "--distill", "kd+hint+attention")
    outcome = strop_in(trained, "prune", "runs/small", "--id", "hinted", *words)
    assert outcome.code == 0, outcome.err
    written = read_yaml(trained / "runs" / "hinted" / "config.yaml")["steps"][0]["prune"]["distill"]
    assert [next(iter(part)) for part in written] == ["kd", "hint", "attention"]
    assert Run(trained / "runs" / "hinted").result["model"]["trained"][-2:] == ["pruned", "distilled"]


def test_mistakes_are_told_before_the_work(trained, shapes, strop_in):
    """Unknown losses with a suggestion, two on answers, stages that are not there, compile."""
    words = ("train", shapes, "--model", "cnn2", "--teacher", "runs/small", "--id", "wrong", "--distill")
    for text, said in (
        ("hnit", "'hnit' is not a known distillation loss. Did you mean 'hint'?"),
        ("kd+dkd", "kd and dkd all look at the teacher's answers. Choose one; losses on maps may join it."),
        ("hint:student=layer1+hint", "hint is given twice. Join its stages: hint:student=layer2/layer3."),
        ("hint:student=layer4", "student: 'layer4' is no stage with a map. Write last, all, or of: layer1, layer2."),
    ):
        outcome = strop_in(trained, *words, text)
        assert outcome.code == 2 and said in outcome.err.replace("\n", " "), outcome.err
    outcome = strop_in(trained, *words, "hint", "--compile")
    assert outcome.code == 2 and "--compile: hides the maps" in outcome.err
    assert not (trained / "runs" / "wrong").exists()
