"""Sparsity by command: zeros of each layer in every file that shows them, and resuming to the bit."""

import csv

import pytest
from safetensors.torch import load_file

from strop.errors import Interrupted
from strop.runs import Run
from strop.steps import training
from strop.steps.train import Train

FAST = ("--epochs", 2, "--validation", "20%", "--batch-size", 32, "--lr", 0.05)


@pytest.fixture(scope="module")
def sparse(trained, shapes, strop_in):
    """runs/sparse, trained from runs/small with a group lasso strong enough to take channels, and what was said."""
    words = ("--parent", "runs/small", "--sparsify", "group-lasso:strength=0.15", "--id", "sparse")
    outcome = strop_in(trained, "train", shapes, *words, *FAST)
    assert outcome.code == 0, outcome.err
    return trained / "runs" / "sparse", outcome.out


def test_zeros_are_those_of_the_file(sparse):
    """result.json counts them in the kept weights, metrics.jsonl and results.csv agree, all fits 80 columns."""
    folder, said = sparse
    block, tensors = Run(folder).result["sparsity"], load_file(folder / "model.safetensors")
    counted = {row["layer"]: (row["zeros"], row["weights"]) for row in block["layers"]}
    kept = {name: tensors[f"{name}.weight"] for name in counted}
    assert counted == {name: (int((weight == 0).sum()), weight.numel()) for name, weight in kept.items()}
    weights = [weight for weight in kept.values() if weight.ndim > 1]
    share = sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)
    assert block["zero_share"] == pytest.approx(share, abs=1e-6) and share > 0
    lines = Run(folder).metrics()
    assert all(line["sparsity"].keys() == counted.keys() for line in lines)
    with open(folder / "results.csv", newline="") as file:
        assert [float(row["zero_share"]) for row in csv.DictReader(file)] == [line["zero_share"] for line in lines]
    assert said.count("  zeros ") == 2 and max(map(len, said.splitlines())) <= 80
    assert (folder / "sparsity.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_regulariser_nothing_is_said(trained):
    """No block, no chart, an empty column."""
    folder = trained / "runs" / "small"
    assert "sparsity" not in Run(folder).result and not (folder / "sparsity.png").exists()
    with open(folder / "results.csv", newline="") as file:
        assert {row["zero_share"] for row in csv.DictReader(file)} == {""}


def test_growing_is_resumed_to_the_bit(trained, shapes, tmp_path, monkeypatch):
    """Stopped after the weights have moved: the choice is that of the beginning, the strength that of the step."""

    def step(name):
        options = {"parent": str(trained / "runs" / "small"), "epochs": 2, "batch_size": 32, "lr": 0.01}
        options |= {
            "data": {"source": str(shapes), "validation": "20%"},
            "save_minutes": 0,
            "out": str(tmp_path / name),
        }
        return Train.model_validate(options | {"sparsify": "growing:step=10,every=2,ceiling=100"})

    whole = step("whole").execute()

    def stop(self, progress):
        if progress.step == 7:
            raise Interrupted(2, "stopped")

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(training.Training, "_stop_if_asked", stop)
        step("parts").execute()
    parts = step("parts").execute()
    assert (whole.folder / "model.safetensors").read_bytes() == (parts.folder / "model.safetensors").read_bytes()
    before, after = (load_file(run.folder / "model.safetensors") for run in (Run(trained / "runs" / "small"), whole))
    norms = [tensors["features.0.0.weight"].flatten(1).norm(dim=1) for tensors in (before, after)]
    kept = (norms[1] / norms[0]).sort().values  # of 16 channels the 8 chosen ones have shrunk
    assert kept[7] < 0.8 * kept[8]
