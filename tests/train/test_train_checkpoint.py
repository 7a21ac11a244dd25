"""Checkpoints: whole round trips, damaged files passed over, two kept, nothing but safetensors and JSON."""

import json

import pytest
import safetensors
import torch

from strop.train import checkpoint
from strop.train.fit import fit
from strop.train.optim import make_optimizer


@pytest.fixture
def trained(make_objective, make_loader):
    """An objective and its optimizer after one epoch, so that there is a state to save."""

    def make(name="sgd"):
        objective = make_objective()
        optimizer = make_optimizer(objective, name, lr=0.05, weight_decay=1e-2)
        list(fit(objective, make_loader(), optimizer, epochs=1, schedule=lambda t: 1.0))
        return objective, optimizer

    return make


@pytest.fixture
def two(trained, tmp_path):
    """A folder with checkpoints of step 5 and step 10; they differ in a tensor and in the facts."""
    objective, optimizer = trained()
    for step in (5, 10):
        sums = {"loss": torch.tensor(float(step))}
        checkpoint.save(tmp_path, step, objective, optimizer, sums, {"epoch": step}, more={})
    return tmp_path


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_round_trip(trained, make_objective, tmp_path, name):
    """Weights, buffers, all of the optimizer's state, sums, facts and further tensors come back equal."""
    objective, optimizer = trained(name)
    facts = {"best": {"epoch": 1, "accuracy": 0.1 + 0.2}, "losses": [1.5, 0.25]}
    sums = {"loss": torch.tensor(1.25), "hits": torch.tensor([1, 2, 3])}
    checkpoint.save(tmp_path / "new", 3, objective, optimizer, sums, facts, more={"best.w": torch.ones(2, 2)})
    found = checkpoint.newest(tmp_path / "new", pytest.fail)
    fresh = make_objective()
    fresh.student.net[0].weight.data.zero_()
    other = make_optimizer(fresh, name, lr=0.05, weight_decay=1e-2)
    restored = checkpoint.restore(found, fresh, other)
    assert found.step == 3 and found.facts == facts
    assert restored.keys() == sums.keys() and all(torch.equal(restored[k], sums[k]) for k in sums)
    assert torch.equal(checkpoint.under(found.tensors, "best.")["w"], torch.ones(2, 2))
    ours, theirs = objective.state_dict(), fresh.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)
    before, after = optimizer.state_dict()["state"], other.state_dict()["state"]
    expected = {"sgd": {"momentum_buffer"}}.get(name, {"step", "exp_avg", "exp_avg_sq"})
    assert before.keys() == after.keys()
    for index in before:
        assert before[index].keys() == after[index].keys() == expected
        assert all(torch.equal(before[index][k], after[index][k]) for k in expected)


def test_the_newest_is_used(two):
    """The later of two."""
    found = checkpoint.newest(two, pytest.fail)
    assert (found.step, found.facts, found.tensors["sums.loss"]) == (10, {"epoch": 10}, 10.0)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    data = bytearray(path.read_bytes())
    data[-50] ^= 1
    path.write_bytes(bytes(data))


def another_fact(path):
    path.write_text(path.read_text().replace('"epoch": 10', '"epoch": 11'))


def another_step(path):
    path.write_text(path.read_text().replace('"step": 10', '"step": 11'))


def no_object(path):
    path.write_text("[]")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("step-00000010.safetensors", truncate),
        ("step-00000010.safetensors", empty),
        ("step-00000010.safetensors", flip),
        ("step-00000010.safetensors", lambda path: path.unlink()),
        ("step-00000010.json", truncate),
        ("step-00000010.json", empty),
        ("step-00000010.json", another_fact),
        ("step-00000010.json", another_step),
        ("step-00000010.json", no_object),
    ],
)
def test_a_damaged_one_is_named_and_passed_over(two, name, damage):
    """Torn, truncated or with a single bit changed, in the tensors or beside them: the one before is used."""
    damage(two / name)
    warnings = []
    assert checkpoint.newest(two, warnings.append).step == 5
    assert len(warnings) == 1 and "step-00000010.json" in warnings[0]


def test_a_crash_before_the_index_leaves_the_one_before(two):
    """Tensors without their JSON are no checkpoint yet."""
    (two / "step-00000010.json").unlink()
    assert checkpoint.newest(two, pytest.fail).step == 5


def test_nothing_to_go_on_from(two):
    """No folder, an empty one, or all damaged: training starts afresh."""
    assert checkpoint.newest(two / "none", pytest.fail) is None
    for path in two.glob("*.safetensors"):
        flip(path)
    warnings = []
    assert checkpoint.newest(two, warnings.append) is None and len(warnings) == 2


def test_two_are_kept_and_nothing_is_a_pickle(trained, tmp_path):
    """Of five saves the last two remain, four files, and the tensors open as safetensors."""
    objective, optimizer = trained()
    for step in range(1, 6):
        checkpoint.save(tmp_path, step, objective, optimizer, {}, {}, more={})
        assert len(list(tmp_path.glob("*.json"))) == min(step, 2)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"step-0000000{step}.{kind}" for step in (4, 5) for kind in ("json", "safetensors")]
    for path in tmp_path.glob("*.safetensors"):
        with safetensors.safe_open(path, framework="pt") as file:
            assert "objective.student.net.0.weight" in file.keys()  # noqa: SIM118 - not a dict
    for path in tmp_path.glob("*.json"):
        json.loads(path.read_text())


def test_saving_the_same_step_again(two, trained):
    """A second interruption at the same place replaces the file and adds none."""
    objective, optimizer = trained()
    checkpoint.save(two, 10, objective, optimizer, {}, {"epoch": 99}, more={})
    assert checkpoint.newest(two, pytest.fail).facts == {"epoch": 99} and len(list(two.iterdir())) == 4
