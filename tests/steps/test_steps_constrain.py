"""Constrained training by command: the penalty is in the loss once, and the histograms lie in the run folder."""

import json

import pytest
import torch

from strop import artifact
from strop.data.chance import key
from strop.measure.weights import describe_weights
from strop.models import build
from strop.models.classifier import Classifier, Preprocess
from strop.quantize.constraints import constraints
from strop.runs import Run
from strop.steps.objective import make_objective
from strop.steps.train import Train

FAST = ("--epochs", 1, "--validation", "20%", "--batch-size", 32, "--lr", 0.01)


def test_the_penalty_is_added_to_the_mean_once():
    """In one piece or in two, total / weight is the mean loss plus the penalty."""
    torch.manual_seed(key(0, "any") % 1000)
    net = build("cnn2", num_classes=3, in_chans=1, input_size=8)
    model = Classifier(net, Preprocess(8, 1, (0.5,), (0.25,)), ("a", "b", "c")).eval()
    images, target = torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8), torch.arange(6) % 3

    def made(**options):
        objective = make_objective(model, Train(data="d", model="cnn2", **options), None, target)
        objective.mode(train=False)
        return objective

    plain, kept = made()(images, target), made(constrain="kurtosis:target=2,strength=5")
    penalty = constraints.get("kurtosis")(target=2.0, strength=5.0).penalty(net).item()
    whole = kept(images, target)
    assert whole.total.item() / 6 == pytest.approx(plain.total.item() / 6 + penalty, rel=1e-5)
    parts = [kept(images[cut], target[cut]) for cut in (slice(0, 2), slice(2, 6))]
    assert sum(part.total.item() for part in parts) == pytest.approx(whole.total.item(), rel=1e-5)
    assert penalty > 0 and whole.parts["loss"].item() == plain.parts["loss"].item()


def test_clipped_and_drawn(trained, shapes, strop_in):
    """Fine-tuned with clip: no weight of the file is an outlier; before is the parent, after the kept weights."""
    words = ("--parent", "runs/small", "--constrain", "clip:sd=1.5", "--id", "clipped", *FAST)
    outcome = strop_in(trained, "train", shapes, *words)
    assert outcome.code == 0, outcome.err
    folder = trained / "runs" / "clipped"
    written = json.loads((folder / "weights.json").read_text())
    for before, after in zip(written["before"], describe_weights(artifact.load(Run(folder)).net), strict=True):
        off = [
            max(row["mean"] - row["histogram"]["from"], row["histogram"]["to"] - row["mean"]) for row in (before, after)
        ]
        assert off[1] / after["sd"] < min(1.7, off[0] / before["sd"])  # clipping takes a little from the sd as well
    assert (folder / "histograms.png").read_bytes().startswith(b"\x89PNG")
    assert "constrained" in Run(folder).result["model"]["trained"]
    assert [*written["runs"]] == ["clipped"] and not (trained / "runs" / "small" / "histograms.png").exists()
