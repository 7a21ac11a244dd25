"""What strop prune can be asked for besides parameters and multiply-accumulates, by command."""

import copy
import json

import pytest
import safetensors.torch
import torch

from strop import artifact
from strop.data.stores import MemoryPictures
from strop.errors import Interrupted
from strop.launch import ALONE
from strop.measure.evaluate import evaluate
from strop.models.groups import channel_groups, remove
from strop.prune.criteria import criteria
from strop.prune.prune import rank, weakest
from strop.runs import Run
from strop.steps import rounds, trials
from strop.steps.clocking import Clocked
from strop.steps.data import reopen
from strop.steps.rounds import share_out
from strop.steps.subjects import open_split
from strop.steps.training import Training, evaluation_loader

FAST = ("--batch-size", 32, "--lr", 0.01, "--distill", "none")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, shapes, strop_in):
    """A working folder with runs/net, a small residual network after an epoch."""
    place = tmp_path_factory.mktemp("prune")
    words = ("train", shapes, "--model", "cnn_fast:residual=true,width=8", "--id", "net", "--epochs", 1)
    outcome = strop_in(place, *words, "--validation", "20%", *FAST[:4])
    assert outcome.code == 0, outcome.err
    return place


@pytest.fixture
def prune(folder, strop_in):
    """Prune runs/net under an id; gives what was said and the run."""

    def run(id, *words, code=0):
        outcome = strop_in(folder, "prune", "runs/net", "--id", id, *words, *FAST)
        assert outcome.code == code, outcome.err
        return outcome, Run(folder / "runs" / id)

    return run


def weights(run):
    return (run.folder / "model.safetensors").read_bytes()


def test_to_a_size_of_the_file(prune, folder, read):
    """At or under the size that is asked for, and within 2 % of it; the result says the size of the file."""
    whole = read(folder / "runs" / "net", "result.json")["model"]["bytes"]
    _, run = prune("bytes", "--bytes", "40%", "--epochs", 1)
    size, pruning = len(weights(run)), run.result["pruning"]
    assert 0.98 * 0.4 * whole <= size <= 0.4 * whole
    assert (pruning["kind"], pruning["before"], pruning["after"]) == ("bytes", whole, size)
    assert pruning["limit"] == int(0.4 * whole)


def test_the_clock_is_that_of_the_runtime():
    """A network in turn with its parent, in milliseconds; 64 times the channels take longer, whatever else runs."""
    small, large = (
        torch.nn.Sequential(torch.nn.Conv2d(1, n, 3), torch.nn.Flatten(), torch.nn.Linear(n * 900, 3)) for n in (2, 128)
    )
    clock = Clocked(large, (1, 32, 32))
    row = clock(small)
    assert row.keys() == {"p50", "p95", "n", "parent_p50"} and row["n"] == 100
    assert 0 < row["p50"] <= row["p95"] and row["p50"] < row["parent_p50"]
    assert clock.whole() > row["p50"]


@pytest.fixture
def by_macs(monkeypatch):
    """A clock that says a millisecond for a million multiply-accumulates, so that tests don't depend on the machine."""
    from strop.measure.complexity import count_macs

    def time(self, net):
        ms = count_macs(net, self._shape) / 1e6
        return {"p50": ms, "p95": ms, "n": 1, "parent_p50": self.whole()}

    monkeypatch.setattr(Clocked, "whole", lambda self: count_macs(self._parent, self._shape) / 1e6)
    monkeypatch.setattr(Clocked, "__call__", time)


def test_to_a_latency(prune, by_macs):
    """At or under the limit and within 10 % of it; every network that was measured is in the result and in the log."""
    outcome, run = prune("latency", "--latency", "40%", "--epochs", 2, "--rounds", 2)
    pruning = run.result["pruning"]
    assert 0.9 * pruning["limit"] <= pruning["after"] <= pruning["limit"] == pytest.approx(0.4 * pruning["before"])
    assert pruning["after"] == pytest.approx(run.result["model"]["macs"] / 1e6, abs=1e-4)
    assert pruning["candidates"][-1]["milliseconds"] == pruning["after"]
    assert outcome.out.count(" MACs: ") == len(pruning["candidates"])


def test_to_a_latency_after_blocks_went(prune, by_macs):
    """The network that is left is timed first; where it is fast enough as it is, no channel goes."""
    _, shallow = prune("shallow-fast", "--depth", 2, "--latency", "40%", "--epochs", 1)
    pruning = shallow.result["pruning"]
    assert 0.9 * pruning["limit"] <= pruning["after"] <= pruning["limit"] < pruning["before"]
    share = pruning["candidates"][0]["milliseconds"] / pruning["before"]
    _, alone = prune("shallow-alone", "--depth", 2, "--latency", f"{100 * share + 0.5:.2f}%", "--epochs", 1)
    assert all(before == after for before, after in alone.result["pruning"]["widths"].values())
    assert len(alone.result["pruning"]["blocks"]) == 2 and len(alone.result["pruning"]["candidates"]) == 1


def test_what_the_clock_chose_is_kept(prune, by_macs, monkeypatch):
    """Stopped in the fine-tuning and started again: nothing is measured any more, and the widths are the same."""
    with monkeypatch.context() as patch:
        patch.setattr(Training, "to_best", lambda self: (_ for _ in ()).throw(Interrupted(2, "stopped")))
        _, run = prune("kept", "--latency", "40%", "--epochs", 1, code=130)
    chosen = json.loads((run.folder / "pruning.json").read_text())["round 1"]
    monkeypatch.setattr(Clocked, "__call__", None)
    _, run = prune("kept", "--latency", "40%", "--epochs", 1)
    assert {name: kept for name, (_, kept) in run.result["pruning"]["widths"].items()} == chosen["keep"]
    assert run.result["pruning"]["candidates"] == chosen["candidates"]


def test_a_latency_that_can_not_be_had(prune, by_macs, folder):
    """Exit code 3 with what was reached, and no folder that would take the name."""
    outcome, _ = prune("never", "--latency", "0.0001ms", "--epochs", 1, code=3)
    assert "--latency 0.0001ms: the budget of 0.0001 ms can't be met: 0.0" in outcome.err
    outcome, _ = prune("never", "--latency", "5s", "--epochs", 1, code=3)
    assert "ms already. Give a smaller budget." in outcome.err
    assert not (folder / "runs" / "never").exists()


def test_epochs_are_shared_out():
    """All of them, none twice; the later rounds, whose networks are smaller, get what is left over."""
    assert (share_out(8, 3), share_out(6, 3), share_out(5, 1)) == ([2, 3, 3], [2, 2, 2], [5])


IN_ROUNDS = ("--macs", "25%", "--rounds", 2, "--epochs", 3, "--criterion", "taylor")


def test_rounds_go_geometrically(prune):
    """Of 25 % in two rounds the first leaves half; epochs count on, and the last round's network is the result."""
    _, run = prune("rounds", *IN_ROUNDS)
    pruning, training = run.result["pruning"], run.result["training"]
    first, last = pruning["rounds"]
    assert first["limit"] == pytest.approx(pruning["before"] / 2, abs=1)
    assert 0.9 * first["limit"] <= first["after"] <= first["limit"]
    assert last["after"] == pruning["after"] == run.result["model"]["macs"] <= pruning["limit"]
    assert [line["epoch"] for line in run.metrics()] == [1, 2, 3]
    assert [line["phase"] for line in run.metrics()] == [1, 2, 2]
    assert (training["epochs"], first["epochs"], last["epochs"]) == (3, 1, 2)
    assert training["best_epoch"] == 1 + last["best_epoch"]
    assert run.result["measured"][0]["accuracy"] == last["accuracy"]
    assert len(pruning["widths"]) == len({*pruning["widths"]}) and all(a >= b for a, b in pruning["widths"].values())


def test_rounds_resume(prune, monkeypatch):
    """Stopped between two rounds: the first is not trained again, and the bytes are those of one go."""
    prepared = rounds.train_rounds

    def stop_before_the_second(run, model, builder, options, prepare, **parts):
        def stop(number):
            if number == 2:
                raise Interrupted(2, "stopped")
            prepare(number)

        return prepared(run, model, builder, options, stop, **parts)

    with monkeypatch.context() as patch:
        patch.setattr(rounds, "train_rounds", stop_before_the_second)
        prune("halved", *IN_ROUNDS, code=130)
    outcome, run = prune("halved", *IN_ROUNDS)
    assert "round 1 of 2: done" in outcome.out
    _, whole = prune("rounds", *IN_ROUNDS)
    assert weights(run) == weights(whole)
    assert {**run.result["pruning"]} == {**whole.result["pruning"]}


def test_blocks_go_by_what_they_are_missed(prune, folder):
    """With --depth 1 the block goes whose absence costs less, measured here once more with the block passed over."""
    _, run = prune("shallow", "--depth", 1, "--params", "30%", "--epochs", 1)
    parent = artifact.load(folder / "runs" / "net")
    data = reopen(Run(folder / "runs" / "net"))
    val = open_split(data, "val", parent.preprocess)
    losses = {}
    for name in ("3", "6"):
        block = parent.net.get_submodule(name)
        hook = block.register_forward_hook(lambda _, given, output: given[0])
        losses[name] = evaluate(parent, evaluation_loader(val), data.classes, ranks=ALONE)["loss"]
        hook.remove()
    [row] = run.result["pruning"]["blocks"]
    assert row["block"] == min(losses, key=losses.get) and row["loss"] == pytest.approx(losses[row["block"]], rel=1e-5)
    names = safetensors.torch.load_file(run.folder / "model.safetensors")
    assert not [name for name in names if name.startswith(f"{row['block']}.")]
    builder = json.loads((run.folder / "model.json").read_text())["builder"]
    assert builder["without"] == [row["block"]] and run.result["pruning"]["before"] > run.result["pruning"]["after"]


def test_blocks_alone_need_no_budget(prune):
    """--depth without a budget removes no channel; more blocks than can go are refused with their number."""
    _, run = prune("blocks", "--depth", 2, "--depth-by", "influence", "--epochs", 1)
    assert run.result["pruning"].keys() == {"blocks", "layers"} and len(run.result["pruning"]["blocks"]) == 2
    assert all(0 < row["influence"] < 2 for row in run.result["pruning"]["blocks"])
    outcome, _ = prune("too-deep", "--depth", 3, "--epochs", 1, code=2)
    assert "--depth 3: 2 can go and no more" in outcome.err


def test_sensitivity_of_a_group(prune, folder, monkeypatch):
    """A row for each group and share: the weakest channels of that group alone removed from the parent, by hand."""
    monkeypatch.setattr(trials, "JUDGED", 32)
    _, run = prune("sensitive", "--params", "50%", "--sensitivity", "--epochs", 1)
    rows, parent = run.result["pruning"]["sensitivity"], artifact.load(folder / "runs" / "net")
    groups = channel_groups(parent.net, torch.zeros(2, 1, 24, 24))
    assert [(row["group"], row["ratio"]) for row in rows] == [(g.name, r) for g in groups for r in (0.25, 0.5, 0.75)]
    row = rows[4]
    importance = rank(parent.net, groups, criteria.get("group-norm"))[row["group"]]
    cut = copy.deepcopy(parent)
    remove(cut.net, groups, {row["group"]: weakest(importance, row["width"] // 2)})
    data = reopen(Run(folder / "runs" / "net"))
    judged = trials.judges(open_split(data, "val", parent.preprocess), 0)
    assert isinstance(judged, MemoryPictures) and judged.labels.bincount().tolist() == [8] * 4
    scores = [evaluate(m, evaluation_loader(judged), data.classes, ranks=ALONE) for m in (parent, cut)]
    assert row["n"] == 32 and row["accuracy"] == scores[1]["accuracy"]
    assert row["loss_rise"] == pytest.approx(scores[1]["loss"] - scores[0]["loss"], abs=1e-5)
    assert (run.folder / "sensitivity.png").is_file()


def test_heads_go_by_command(folder, strop_in, shapes, read):
    """A small ViT in two rounds, with what each group alone would cost; what it holds comes back, twice is the same."""
    vit = "timm:vit_base_patch32_224:embed_dim=24,depth=1,num_heads=3,patch_size=8"
    words = ("train", shapes, "--model", vit, "--id", "vit", "--epochs", 1, "--validation", "20%", *FAST[:4])
    assert (outcome := strop_in(folder, *words)).code == 0, outcome.err
    words = (
        "prune",
        "runs/vit",
        "--id",
        "heads",
        "--params",
        "40%",
        "--epochs",
        2,
        "--rounds",
        2,
        "--sensitivity",
        *FAST,
    )
    assert (outcome := strop_in(folder, *words)).code == 0, outcome.err
    run = Run(folder / "runs" / "heads")
    pruning, net = run.result["pruning"], artifact.load(run).net
    attention = net.blocks[0].attn
    kept = [pruning["widths"][f"blocks.0.attn.{leaf}"][1] for leaf in ("num_heads", "head_dim")]
    assert kept == [attention.num_heads, attention.head_dim] and kept < [3, 8]
    assert pruning["after"] == sum(p.numel() for p in net.parameters()) <= pruning["limit"]
    assert {"blocks.0.attn.num_heads", "blocks.0.attn.head_dim"} <= {row["group"] for row in pruning["sensitivity"]}


def test_attention_that_is_not_there(prune, folder):
    """An option that would do nothing is refused before anything is trained."""
    outcome, run = prune("none", "--params", "50%", "--attention", "heads", "--epochs", 1, code=2)
    assert "--attention heads: the network has no attention that can be cut. Leave it out." in outcome.err
    assert not (run.folder / "result.json").exists()
