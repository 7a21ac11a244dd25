"""Freezing by command: what is told, what is written, and that the frozen tensors are the parent's."""

import torch
from safetensors.torch import load_file

from strop.yaml import read_yaml

FAST = ("--epochs", 1, "--validation", "20%", "--batch-size", 32, "--lr", 0.01)


def test_only_the_head_trains(trained, shapes, strop_in, read):
    """Of cnn3 with four classes at 24 px; the counts follow from its definition: 5x5 convolutions, norms, one layer."""
    words = ("train", shapes, "--parent", "runs/small", "--freeze", "all-but-head", "--id", "headed", *FAST)
    outcome = strop_in(trained, *words)
    assert outcome.code == 0, outcome.err
    head = 4 * (64 * 3 * 3 + 1)
    body = (25 + 1) * 16 + 32 + (16 * 25 + 1) * 32 + 64 + (32 * 25 + 1) * 64 + 128
    said = f"{head:,} of {head + body:,} parameters train; frozen: layer1..layer3"
    assert said in outcome.out and all(len(line) <= 80 for line in outcome.out.splitlines() if said in line)
    training = read(trained / "runs" / "headed", "result.json")["training"]
    assert training["trainable_parameters"] == head and training["frozen"] == ["layer1", "layer2", "layer3"]
    before, after = (load_file(trained / "runs" / name / "model.safetensors") for name in ("small", "headed"))
    same = {name for name, tensor in before.items() if torch.equal(tensor, after[name])}
    assert same == {name for name in before if not name.startswith("fc.")}


def test_the_config_says_what_was_frozen(trained, shapes, strop_in):
    """As a list, which a recipe takes too; running it again finds the run done."""
    config = trained / "runs" / "headed" / "config.yaml"
    assert read_yaml(config)["steps"][0]["train"]["freeze"] == ["all-but-head"]
    outcome = strop_in(trained, "run", config, "--out", "runs")
    assert outcome.code == 0 and "already done" in outcome.out


def test_unknown_stages_stop_the_run_before_it_begins(trained, shapes, strop_in):
    """The stages of the network are listed; nothing is left behind."""
    words = ("train", shapes, "--parent", "runs/small", "--freeze", "stem", "--id", "wrong", *FAST)
    outcome = strop_in(trained, *words)
    assert outcome.code == 2
    assert "freeze: 'stem' is no stage of this network. Its stages: layer1, layer2, layer3, head." in outcome.err
    assert not (trained / "runs" / "wrong").exists()
    outcome = strop_in(trained, *words[:4], "--freeze", "layer1-layer2")
    assert outcome.code == 2 and "--freeze: 'layer1-layer2' is no stage. Write stem,layer1 or" in outcome.err
