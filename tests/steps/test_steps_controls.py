"""The two controls of a pruned network: what they start from, how long they train, and how they are compared."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from strop.runs import Run
from strop.steps.controls import epochs_before

FAST = ("--batch-size", 32, "--lr", 0.01)
WORDS = ("prune", "runs/net", "--params", "40%", "--epochs", 1, *FAST)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, shapes, strop_in):
    """runs/net, two epochs and then one more of fine-tuning; runs/net-pruned, finished, and then with its controls."""
    place = tmp_path_factory.mktemp("controls")
    first = ("train", shapes, "--model", "cnn_fast:width=8", "--id", "first", "--validation", "20%", "--seed", 3)
    more = ("train", shapes, "--parent", "runs/first", "--id", "net", "--validation", "20%", "--seed", 3)
    for words in ((*first, "--epochs", 2, *FAST), (*more, "--epochs", 1, *FAST), WORDS):
        outcome = strop_in(place, *words)
        assert outcome.code == 0, outcome.err
    return place


@pytest.fixture(scope="module")
def controlled(folder, strop_in):
    """What --controls said of the finished run, and its weights before."""
    weights = (folder / "runs" / "net-pruned" / "model.safetensors").read_bytes()
    outcome = strop_in(folder, *WORDS, "--controls")
    assert outcome.code == 0, outcome.err
    return outcome, weights


def control(folder, role):
    return Run.open(folder / "runs" / "net-pruned" / "controls" / f"net-pruned-{role}")


def shapes_of(run):
    return {name: tensor.shape for name, tensor in load_file(run.folder / "model.safetensors").items()}


def test_they_come_to_a_finished_run(folder, controlled):
    """Nothing is pruned again: the weights are those of before, and the result has the block now."""
    outcome, weights = controlled
    run = Run.open(folder / "runs" / "net-pruned")
    assert "already done" in outcome.out and (run.folder / "model.safetensors").read_bytes() == weights
    assert {"scratch", "longer"} <= run.result["pruning"]["controls"].keys()


def test_shapes_and_epochs(folder, controlled):
    """From scratch: the pruned shapes for 2 + 1 + 1 epochs. Longer: the parent's shapes for the one more."""
    pruned, parent = Run.open(folder / "runs" / "net-pruned"), Run.open(folder / "runs" / "net")
    scratch, longer = control(folder, "scratch"), control(folder, "longer")
    assert shapes_of(scratch) == shapes_of(pruned) != shapes_of(longer) == shapes_of(parent)
    assert (scratch.result["training"]["epochs"], longer.result["training"]["epochs"]) == (4, 1)
    assert epochs_before(parent) == (3, []) and epochs_before(scratch) == (4, [])
    assert scratch.result["model"]["trained"][0] == "from scratch"
    assert [run.record["parents"]["parent"]["hash"] for run in (scratch, longer)] == [
        pruned.model_hash(),
        parent.model_hash(),
    ]
    assert all(run.record["parents"]["teacher"]["hash"] == parent.model_hash() for run in (scratch, longer))


def test_the_first_epoch_begins_with_nothing_learned(folder, controlled):
    """Chance is 25 %; the pruned network begins its own fine-tuning with the parent's weights."""
    scratch, longer = (control(folder, role).metrics()[0]["train"]["loss"] for role in ("scratch", "longer"))
    assert scratch > longer


def test_on_the_same_pictures(folder, controlled):
    """The same training and the same validation pictures, although the seed of the pruning is another."""
    names = [
        json.loads((run.folder / "data.json").read_text())["validation"]["names"]
        for run in (Run.open(folder / "runs" / "first"), control(folder, "scratch"), control(folder, "longer"))
    ]
    assert names[0] == names[1] == names[2] and len(names[0]) == 48


@pytest.mark.parametrize("role", ["scratch", "longer"])
def test_the_difference_is_paired(folder, controlled, strop_in, role):
    """Recomposed from the predictions that `evaluate` writes: who is right where the other is not."""
    import pyarrow.parquet as pq

    block = Run.open(folder / "runs" / "net-pruned").result["pruning"]["controls"]
    right = []
    for place in ("runs/net-pruned", f"runs/net-pruned/controls/net-pruned-{role}"):
        out = f"looked-{role}-{len(right)}"
        assert strop_in(folder, "evaluate", place, "--split", "val", "--out", out).code == 0
        table = pq.read_table(folder / out / "predictions.parquet").to_pydict()
        right.append(np.array(table["true"]) == np.array(table["predicted"]))
    pruned, other = right
    found = block[role]
    assert (block["accuracy"], found["accuracy"], block["n"]) == (pruned.mean(), other.mean(), 48)
    assert (found["gained"], found["lost"]) == ((pruned & ~other).sum(), (~pruned & other).sum())
    assert found["difference"] == pytest.approx(pruned.mean() - other.mean())
    assert found["interval"][0] <= found["difference"] <= found["interval"][1]


def test_again_nothing_is_trained(folder, controlled, strop_in):
    """The same command says it once more and leaves every control as it is."""
    before = {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*.safetensors")}
    outcome = strop_in(folder, *WORDS, "--controls")
    assert outcome.out.count("already done") == 3 and "from scratch, 4 epochs" in outcome.out
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*.safetensors")}
    assert [line for line in outcome.out.splitlines() if len(line) > 80 and str(folder) not in line] == []
