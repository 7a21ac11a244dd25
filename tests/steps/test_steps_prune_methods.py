"""strop prune --method svd and unstructured by command, to the file that ships."""

import json

import pytest

from strop import artifact
from strop.models.factoring import Factored
from strop.prune import svd
from strop.prune.unstructured import count_remaining
from strop.runs import Run

FAST = ("--batch-size", 32, "--lr", 0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, shapes, strop_in):
    """A working folder with runs/net, a small network after an epoch."""
    place = tmp_path_factory.mktemp("methods")
    words = ("train", shapes, "--model", "cnn_fast:residual=true,width=16", "--id", "net", "--epochs", 1)
    outcome = strop_in(place, *words, "--validation", "20%", *FAST)
    assert outcome.code == 0, outcome.err
    return place


@pytest.fixture(scope="module")
def prune(folder, strop_in):
    """Prune runs/net, or another, under an id; gives what was said and the run."""

    def run(id, *words, parent="net", epochs=1, code=0):
        outcome = strop_in(folder, "prune", f"runs/{parent}", "--id", id, *words, "--epochs", epochs, *FAST)
        assert outcome.code == code, outcome.err
        return outcome, Run(folder / "runs" / id)

    return run


@pytest.fixture(scope="module")
def sparse(prune):
    return prune("sparse", "--method", "unstructured", "--params", "10%")


@pytest.fixture(scope="module")
def factored(prune):
    return prune("factored", "--method", "svd", "--params", "30%", "--round-to", 4)


def test_zeros_are_trained_around_and_left_out_of_the_file(sparse, folder, strop_in, read):
    """A tenth is not zero after the fine-tuning; the exported file is smaller, and holds what was measured on it."""
    outcome, run = sparse
    assert "Zeros save bytes in an exported file, not time" in outcome.out
    net, pruning = artifact.load(run).net, run.result["pruning"]
    total = sum(parameter.numel() for parameter in net.parameters())
    assert pruning["after"] == count_remaining(net) <= total // 10 < 1.05 * pruning["after"]
    assert (pruning["method"], pruning["before"]) == ("unstructured", total)
    assert run.result["sparsity"]["zero_share"] > 0.9
    outcome = strop_in(folder, "export", "runs/sparse", "--id", "file")
    assert outcome.code == 0 and "it computes as before" in outcome.out, outcome.err
    file, result = folder / "runs" / "file" / "model.onnx", read(folder / "runs" / "file", "result.json")
    layers = sum(row["bytes_after"] for row in pruning["layers"])
    assert layers < 0.2 * sum(row["bytes_before"] for row in pruning["layers"])
    assert layers < file.stat().st_size < layers + 60_000 < run.result["model"]["bytes"]
    assert strop_in(folder, "verify", "runs/file").code == 0
    own = strop_in(folder, "evaluate", "runs/sparse", "--split", "test", "--id", "own")
    assert own.code == 0, own.err
    assert read(folder / "runs" / "own", "result.json")["measured"][0]["accuracy"] == result["measured"][0]["accuracy"]


def test_ranks_are_in_the_model_folder(factored):
    """At or under the budget; the rows a layer recompose into what went; the ranks build the network again."""
    _, run = factored
    net, pruning = artifact.load(run).net, run.result["pruning"]
    after = sum(parameter.numel() for parameter in net.parameters())
    assert 0.97 * pruning["limit"] <= pruning["after"] == after <= pruning["limit"]
    made = {name: module.rank for name, module in net.named_modules() if isinstance(module, Factored)}
    assert made == pruning["ranks"] == {row["layer"]: row["rank"] for row in pruning["layers"] if "rank" in row}
    gone = sum(row["bytes_before"] - row["bytes_after"] for row in pruning["layers"])
    assert gone == 4 * (pruning["before"] - after)
    assert json.loads((run.folder / "model.json").read_text())["builder"]["ranks"] == made


def test_methods_follow_each_other(factored, sparse, prune):
    """Channels of a factored network, ranks of one with fewer channels, zeros of a factored one: all load again."""
    _, channels = prune("channels-of-it", "--params", "70%", parent="factored")
    _, pruned = prune("pruned", "--params", "70%")
    _, ranks = prune("ranks-of-that", "--method", "svd", "--params", "60%", parent="pruned")
    _, again = prune("ranks-again", "--method", "svd", "--params", "80%", "--round-to", 1, parent="ranks-of-that")
    for run in (channels, ranks, again):
        count = sum(parameter.numel() for parameter in artifact.load(run).net.parameters())
        assert run.result["pruning"]["after"] == count <= run.result["pruning"]["limit"]
    _, zeros = prune("zeros-of-it", "--method", "unstructured", "--params", "50%", parent="factored")
    assert zeros.result["pruning"]["after"] == count_remaining(artifact.load(zeros).net)


def test_zeros_come_in_rounds(prune):
    """Each round leaves the same share of what the one before left, and no zero comes back."""
    outcome, run = prune("rounds", "--method", "unstructured", "--params", "25%", "--rounds", 2, epochs=2)
    first, last = run.result["pruning"]["rounds"]
    assert last["limit"] == run.result["pruning"]["limit"]
    assert first["after"] / run.result["pruning"]["before"] == pytest.approx(0.5, abs=0.01)
    assert "round 1 of 2" in outcome.out


def test_a_network_without_large_layers_is_refused(prune, monkeypatch):
    """Before anything is trained, with what to do instead."""
    monkeypatch.setattr(svd, "THIN", 1000)
    outcome, _ = prune("small", "--method", "svd", "--params", "50%", code=2)
    assert outcome.err.startswith("error: --method svd: this network has no layer of 1,000 or more inputs and outputs")
    assert "epoch" not in outcome.out


def test_a_budget_that_is_too_small_is_said(prune):
    """Exit 3, with what remains at the least."""
    outcome, _ = prune("none", "--method", "svd", "--params", "1%", code=3)
    assert "with rank 1 in every layer" in outcome.err
    outcome, _ = prune("none-either", "--method", "unstructured", "--params", "0.1k", code=3)
    assert "keeps one" in outcome.err


def test_the_bytes_of_layers_are_shown(sparse, factored, folder, strop_in):
    """A row a layer, the sums below, in 80 columns, and whether time is saved; nothing of runs without such figures."""
    outcome = strop_in(folder, "info", "runs/sparse", "--bytes")
    assert outcome.code == 0, outcome.err
    rows = sparse[1].result["pruning"]["layers"]
    before, after = (sum(row[f"bytes_{when}"] for row in rows) for when in ("before", "after"))
    last = next(line.split() for line in outcome.out.splitlines() if line.startswith(f"{len(rows)} layers"))
    assert last[-3:-1] == [f"{before:,}", f"{after:,}"] and float(last[-1]) == pytest.approx(before / after, abs=0.05)
    assert "not time" in outcome.out and max(map(len, outcome.out.splitlines())) <= 80
    outcome = strop_in(folder, "info", "runs/factored", "--bytes", "--json")
    found = json.loads(outcome.out)
    assert found["stored"] == factored[1].result["pruning"]["layers"] and found["notes"] == []
    for words, said in (
        (("runs/net", "--bytes"), "'net' says nothing of the bytes of its layers"),
        (("resnet18", "--bytes"), "is no run"),
        (("runs/sparse", "--bytes", "--measure"), "no use for --measure"),
    ):
        outcome = strop_in(folder, "info", *words)
        assert outcome.code == 2 and said in outcome.err, outcome.err
