"""Looks at a test set: each measurement once, whatever is skipped, resumed, concurrent or read-only."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from strop.data.packed import Members
from strop.runs import Run
from strop.steps.looks import count_look, fingerprint
from strop.writing import write_json


def data_of(*parts):
    """Test pictures with these content hashes, by split of the source."""
    hashes = {name: np.array([[value] * 16 for value in values], np.uint8) for name, values in parts}
    return SimpleNamespace(hashes=hashes, splits={"test": Members("test", np.arange(len(hashes["test"])))})


TEST = data_of(("test", [1, 2, 3]))


def begin(folder, started="2026-11-24T10:00:00+00:00", key="blake2b:0"):
    folder.mkdir(parents=True)
    write_json(folder / "run.json", {"id": folder.name, "verb": "evaluate", "started": started, "key": key})
    return Run(folder)


def test_the_test_set_is_its_pictures():
    """Order and other splits do not count; one picture does; so does which of a split's pictures are tested."""
    assert fingerprint(data_of(("test", [3, 1, 2]), ("train", [9])), "test") == fingerprint(TEST, "test")
    assert fingerprint(data_of(("test", [1, 2])), "test") != fingerprint(TEST, "test")
    part = SimpleNamespace(hashes={"train": TEST.hashes["test"]}, splits={"test": Members("train", np.array([1, 0]))})
    assert fingerprint(part, "test") == fingerprint(data_of(("test", [1, 2])), "test")


def test_a_resumed_step_is_no_other_look(tmp_path):
    """The first counts one, the second two; the first again is still the first; validation is not counted."""
    model = begin(tmp_path / "runs" / "small")
    first, second = begin(tmp_path / "runs" / "a"), begin(tmp_path / "elsewhere" / "b")
    assert [count_look(run, model, TEST, "test")["looks"] for run in (first, second, first)] == [1, 2, 1]
    assert count_look(begin(tmp_path / "c"), model, data_of(("test", [7])), "test")["looks"] == 1, "another test set"
    assert count_look(first, model, TEST, "val") == {}
    found = json.loads((tmp_path / "runs" / "looks.json").read_text())
    assert [entry["run"] for entry in found["test_sets"][fingerprint(TEST, "test")]] == ["a", "b"]


def test_looks_at_the_same_time_are_all_counted(tmp_path):
    """Sixteen at once: no entry is lost, no number is given twice, no draft is left."""
    model = begin(tmp_path / "runs" / "small")
    runs = [begin(tmp_path / "runs" / f"look-{number}") for number in range(16)]
    with ThreadPoolExecutor(16) as threads:
        looks = threads.map(lambda run: count_look(run, model, TEST, "test")["looks"], runs)
    assert sorted(looks) == list(range(1, 17))
    assert not list((tmp_path / "runs").glob(".*.draft"))


@pytest.mark.parametrize("text", ["mine", "[]", '{"format": 1, "test_sets": {"a": 3}}'])
def test_a_file_of_the_users_is_left_alone(tmp_path, caplog, text):
    """Another file of that name is named in a warning, and keeps its content."""
    model = begin(tmp_path / "small")
    (tmp_path / "looks.json").write_text(text)
    caplog.set_level("WARNING", "strop")
    assert count_look(model, model, TEST, "test").keys() == {"test_set"}
    assert (tmp_path / "looks.json").read_text() == text


def test_a_place_that_can_not_be_written(tmp_path):
    """The figure is there without its count."""
    model = begin(tmp_path / "small")
    (tmp_path / ".looks.json.lock").mkdir()  # as a read-only folder, for root too
    assert count_look(model, model, TEST, "test").keys() == {"test_set"}


def test_looks_of_commands(tmp_path, trained, strop, read):
    """The export was the first look; evaluate the second, which says so; the same again is skipped and none."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    words = ("evaluate", "runs/small", "--split", "test")
    assert read(tmp_path / "runs/small-export", "evidence.json")["accuracy"]["looks"] == 1
    for _ in range(2):
        outcome = strop(*words)
        assert outcome.code == 0, outcome.err
        scores = read(tmp_path / "runs/small-on-test", "result.json")["measured"][0]
        loss, brier, ece = (f"{scores[name]:.3f}" for name in ("loss", "brier", "ece"))
        assert f"\n  NLL {loss}, Brier {brier}, ECE {ece}\n" in outcome.out
        assert "\n  this test set has been looked at 2 times\n" in outcome.out
        [sets] = read(tmp_path / "runs", "looks.json")["test_sets"].values()
        assert [entry["verb"] for entry in sets] == ["export", "evaluate"]
    assert strop(*words, "--out", "again").out.count("looked at 3 times") == 1
