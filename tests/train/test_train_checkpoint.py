"""Checkpoints: whole round trips, damaged files passed over, two kept, nothing but safetensors and JSON."""

import errno
import itertools
import json
import os
import random

import numpy as np
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


def test_of_two_hundred_damages_none_is_loaded(two):
    """Cut, zeroed, emptied, a flipped bit, in either file: always the one before, never other numbers."""
    chance = random.Random(0)
    files = [two / "step-00000010.safetensors", two / "step-00000010.json"]
    whole = {path: path.read_bytes() for path in files}
    expected = checkpoint.newest(two, pytest.fail).tensors
    for number in range(200):
        path = files[number % 2]
        data, at = bytearray(whole[path]), chance.randrange(len(whole[path]))
        match number // 2 % 4:
            case 0:
                data = data[:at]
            case 1:
                data[at:] = bytes(len(data) - at)
            case 2:
                data[at] ^= 1 << chance.randrange(8)
            case 3:
                data = data[:at] + data[at + 1 :]
        path.write_bytes(data)
        found = checkpoint.newest(two, lambda text: None)
        same = found.step == 10 and all(torch.equal(found.tensors[name], expected[name]) for name in expected)
        assert found.step == 5 or same and found.facts == {"epoch": 10}, (number, path.name)
        if path.suffix == ".safetensors":
            assert found.step == 5, number  # every byte of the tensors counts; JSON may lose a blank
        path.write_bytes(whole[path])


def test_a_numpy_rate_in_the_optimizer_is_no_trap(trained, make_objective, tmp_path):
    """A numpy scalar among the groups made other checkpoints unloadable without a pickle; rates are not in ours."""
    objective, optimizer = trained("adamw")
    optimizer.param_groups[0]["lr"] = np.float64(0.001)
    checkpoint.save(tmp_path, 4, objective, optimizer, {}, {}, more={})
    fresh = make_objective()
    other = make_optimizer(fresh, "adamw", lr=0.05, weight_decay=1e-2)
    checkpoint.restore(checkpoint.newest(tmp_path, pytest.fail), fresh, other)
    assert all(torch.equal(a, b) for a, b in zip(objective.parameters(), fresh.parameters(), strict=True))


def test_as_many_are_kept_as_asked_and_one_beside(trained, tmp_path):
    """Of six, the last three and the one that was to stay."""
    objective, optimizer = trained()
    for step in range(1, 7):
        checkpoint.write(tmp_path, checkpoint.take(step, objective, optimizer, {}, {}, more={}), keep=3, also=2)
    assert sorted(int(path.stem[5:]) for path in tmp_path.glob("*.json")) == [2, 4, 5, 6]
    assert checkpoint.newest(tmp_path, pytest.fail, every=5).step == 5
    checkpoint.drop_after(tmp_path, 4)
    assert sorted(int(path.stem[5:]) for path in tmp_path.glob("*.safetensors")) == [2, 4]


def test_a_snapshot_does_not_follow_the_training(trained):
    """What is written later is what was there when it was taken."""
    objective, optimizer = trained()
    facts = {"losses": [1.0]}
    snapshot = checkpoint.take(1, objective, optimizer, {}, facts, more={})
    before = bytes(snapshot.data)
    facts["losses"].append(2.0)
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter.zero_()
    assert snapshot.data == before and snapshot.facts == {"losses": [1.0]}


def test_a_write_that_fails_leaves_what_was_there(two, trained, monkeypatch):
    """A disk that fills up while the tensors or their JSON are written: no draft stays, the one before is used."""
    objective, optimizer = trained()
    snapshot = checkpoint.take(15, objective, optimizer, {}, {}, more={})
    for call in (1, 3):  # each file is synced, and the folder after it
        left = itertools.count(1)

        def full(file, call=call, left=left):
            if next(left) == call:
                raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="No space"):
                checkpoint.write(two, snapshot)
        assert checkpoint.newest(two, pytest.fail).step == 10
        assert not list(two.glob(".*.draft"))
