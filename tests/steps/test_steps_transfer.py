"""`train --parent` at another size, on other classes, at another learning rate; and what is written of it."""

import shutil

import pytest
import torch
from safetensors.torch import load_file
from timm.layers import resample_abs_pos_embed

from strop.runs import Run

FAST = ("--epochs", 1, "--validation", "20%", "--batch-size", 32, "--warmup", 0)


@pytest.fixture(scope="module")
def go_on(trained, strop_in):
    """Fine-tune a run of the working folder; gives the outcome and the run."""

    def run(name, shapes, *options, parent="small"):
        words = ("train", shapes, "--parent", f"runs/{parent}", "--id", name, *FAST, *options)
        outcome = strop_in(trained, *words)
        return outcome, Run(trained / "runs" / name)

    return run


def tensors(run):
    return load_file(run.folder / "model.safetensors")


@pytest.fixture(scope="module")
def pruned(trained, strop_in):
    """The run with half of its channels gone."""
    words = ("prune", "runs/small", "--params", "50%", "--epochs", 1, "--batch-size", 32, "--id", "half")
    assert strop_in(trained, *words).code == 0
    return Run(trained / "runs" / "half")


@pytest.fixture(scope="module")
def others(tmp_path_factory, shapes):
    """The same number of classes, two of them others."""
    root = tmp_path_factory.mktemp("others") / "others"
    root.mkdir()
    for ours, theirs in {"columns": "columns", "disc": "moon", "rows": "rows", "slope": "tilt"}.items():
        shutil.copytree(shapes / "train" / ours, root / theirs)
    return root


def test_the_learning_rate_can_follow_the_parents(go_on, shapes, trained, strop_in):
    """A tenth of 0.01; then half of that, so the parent's own factor counts too."""
    outcome, tenth = go_on("tenth", shapes, "--lr", "parent*0.1", "--schedule", "constant")
    assert outcome.code == 0, outcome.err
    assert tenth.metrics()[0]["lr"] == tenth.record["resolved"]["lr"] == pytest.approx(0.001)
    _, half = go_on("half-of-it", shapes, "--lr", "parent / 2", "--schedule", "constant", parent="tenth")
    assert half.metrics()[0]["lr"] == pytest.approx(0.0005)
    again, _ = go_on("tenth", shapes, "--lr", "parent*0.1", "--schedule", "constant")
    assert "already done" in again.out


def test_the_same_data_is_no_transfer(go_on, shapes, trained):
    """Nothing differs, so nothing is recorded."""
    _, run = go_on("tenth", shapes, "--lr", "parent*0.1", "--schedule", "constant")
    assert "transfer" not in run.record


def test_another_split_of_the_same_pictures_is_told(go_on, shapes):
    """With another seed some validation pictures are ones that the parent learned from; how many is written down."""
    outcome, run = go_on("other-seed", shapes, "--lr", 0.01, "--seed", 7)
    parent_held_out = set(Run(run.folder.parent / "small").data["validation"]["names"])
    names = run.data["validation"]["names"]
    seen = sum(name not in parent_held_out for name in names)
    assert seen and run.record["transfer"] == {"validation_seen": seen}
    assert f"{seen} of {len(names)} validation pictures were training pictures of 'small'" in outcome.out


def test_other_classes_get_a_new_head(go_on, others):
    """Equal in number is not equal: the head is new, the frozen rest is the parent's, and both data sets are named."""
    outcome, run = go_on("elsewhere", others, "--lr", 0.01, "--freeze", "all-but-head")
    assert outcome.code == 0, outcome.err
    assert "new head fc, the rest from 'small'" in outcome.out
    before, after = tensors(Run(run.folder.parent / "small")), tensors(run)
    body = [name for name in before if not name.startswith("fc.")]
    assert all(torch.equal(after[name], before[name]) for name in body)
    assert (after["fc.weight"] - before["fc.weight"]).abs().max() > 0.05  # a fine-tuned head would have moved less
    transfer = run.record["transfer"]
    assert transfer["classes"] == {"before": 4, "now": 4, "kept": 2}
    assert transfer["data"]["now"]["fingerprint"] == run.data["fingerprint"]
    assert transfer["data"]["before"]["source"] == "shapes"


def test_a_pruned_parent_gets_a_new_head_too(go_on, pruned, others):
    """Its channels stay cut: the body is the pruned parent's to the bit, the head reads what is left of it."""
    outcome, run = go_on("cut-elsewhere", others, "--lr", 0.01, "--freeze", "all-but-head", parent="half")
    assert outcome.code == 0, outcome.err
    before, after = tensors(pruned), tensors(run)
    assert after["fc.weight"].shape == before["fc.weight"].shape and not torch.equal(
        after["fc.weight"], before["fc.weight"]
    )
    assert all(torch.equal(after[name], before[name]) for name in before if not name.startswith("fc."))
    assert run.result["model"]["parameters"] == pruned.result["model"]["parameters"]


def test_another_size_of_a_head_that_reads_the_map(go_on, shapes, pruned):
    """cnn3 flattens its last map, so at 32 px its head has other inputs: it is new, and pruned it can't be."""
    outcome, run = go_on("larger", shapes, "--lr", 0.01, "--input-size", 32)
    assert outcome.code == 0 and "new head fc, the rest from 'small'" in outcome.out
    assert run.record["transfer"] == {"input_size": {"before": 24, "now": 32}}
    outcome, run = go_on("cut-larger", shapes, "--lr", 0.01, "--input-size", 32, parent="half")
    assert outcome.code == 2 and "this network can't take pictures of 32 pixels" in outcome.err
    assert not run.folder.exists()


def test_position_embeddings_are_interpolated(trained, shapes, strop_in, go_on):
    """A ViT of 32 px goes on at 48: all frozen tensors are the parent's, its embedding is timm's interpolation."""
    words = ("train", shapes, "--model", "timm:test_vit", "--input-size", 32, "--id", "vit", "--lr", 0.01, *FAST)
    assert strop_in(trained, *words).code == 0
    outcome, run = go_on("vit48", shapes, "--input-size", 48, "--lr", 0.01, "--freeze", "all-but-head", parent="vit")
    assert outcome.code == 0, outcome.err
    before, after = tensors(Run(trained / "runs" / "vit")), tensors(run)
    expected = resample_abs_pos_embed(before.pop("pos_embed"), [3, 3], [2, 2])
    assert torch.equal(after["pos_embed"], expected)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items() if not name.startswith("head."))


def test_options_that_contradict_a_parent_are_refused(trained, shapes, strop_in):
    """Each with what to do."""
    outcome = strop_in(trained, "train", shapes, "--parent", "runs/small", "--normalize", "half")
    assert outcome.code == 2 and "--normalize: has no effect beside parent" in outcome.err
    outcome = strop_in(trained, "train", shapes, "--model", "cnn3", "--lr", "parent*0.1")
    assert outcome.code == 2 and "--lr: 'parent*0.1' needs a parent. Add --parent RUN" in outcome.err
    outcome = strop_in(trained, "train", shapes, "--parent", "runs/small", "--lr", "parent-0.1")
    assert outcome.code == 2 and "Write 0.05, parent, parent*0.1 or parent/10." in outcome.err
