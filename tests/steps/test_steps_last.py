"""`strop export --checkpoint last`: the last epoch of a training as a model of its own, with a row of its own."""

import json

import safetensors.torch
import torch


def test_the_last_epoch_becomes_a_run_and_a_file(trained, strop_in, read):
    """Its weights are those of the last checkpoint, its figure is the one that the training gave for them."""
    training = trained / "runs" / "small"
    outcome = strop_in(trained, "export", "runs/small", "--checkpoint", "last", "--id", "last-file")
    assert outcome.code == 0, outcome.err
    run = trained / "runs" / "small-last"
    wanted = safetensors.torch.load_file(training / "checkpoints" / "last.safetensors")
    found = safetensors.torch.load_file(run / "model.safetensors")
    assert found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)
    last = next(e for e in read(training, "result.json")["measured"] if e["checkpoint"] == "last")
    [measured] = read(run, "result.json")["measured"]
    assert measured["accuracy"] == last["accuracy"] and measured["checkpoint"] == "last"
    assert read(run, "result.json")["model"]["trained"][-1] == "last epoch"
    rows = json.loads(strop_in(trained, "compare", "runs/small", "runs/last-file", "--format", "csv", "--json").out)[
        "rows"
    ]
    assert [row["id"] for row in rows] == ["small", "last-file"]
    again = strop_in(trained, "export", "runs/small", "--checkpoint", "last", "--id", "last-file")
    assert "already done" in again.out and not (trained / "runs" / "small-last-2").exists()


def test_an_unfinished_training_has_no_last_epoch(strop):
    """Both options at once are refused before anything is opened."""
    outcome = strop("export", "runs/none", "--checkpoint", "last", "--unfinished")
    assert outcome.code == 2 and "--checkpoint: an unfinished training has no last epoch." in outcome.err
