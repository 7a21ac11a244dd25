"""`strop info RUN`: structure, weights and responses of a run, in files of their own."""

import json
import math
import shutil

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def weigh(trained, strop_in, tmp_path):
    """Run `strop info runs/small --weights ...` and write into the test's own folder; code, out and err."""
    return lambda *words: strop_in(trained, "info", "runs/small", "--weights", *words)


def test_a_run_is_what_its_result_says(trained, strop_in, read):
    """Parameters and MACs of the table are those of result.json; the input size is the run's."""
    code, out, err = strop_in(trained, "info", "runs/small", "--json")
    assert code == 0, err
    found, model = json.loads(out), read(trained / "runs" / "small", "result.json")["model"]
    for name in ("parameters", "macs", "input_size"):
        assert found[name] == model[name]
    assert sum(found["stages"].values()) == model["parameters"] and found["run"] == "runs/small"


def test_weights_go_into_a_folder_of_their_own(weigh, tmp_path, read):
    """Figures and charts; histograms stay in the file, the terminal gets figures only."""
    code, out, err = weigh("--out", str(tmp_path / "w"), "--pictures", "8", "--json")
    assert code == 0, err
    found, stored = json.loads(out), read(tmp_path / "w", "weights.json")
    names = {path.name for path in (tmp_path / "w").iterdir()}
    assert names == {"weights.json", "histograms.png", "statistics.png", "responses.png"}
    assert sorted(found["files"]) == sorted(str(path) for path in (tmp_path / "w").iterdir())
    (layers,) = found["weights"].values()
    assert "histogram" not in layers[0] and "histogram" in stored["runs"]["small"][0]
    assert all(row["response_sd"] > 0 and math.isfinite(row["kurtosis"]) for row in layers)
    for path in (tmp_path / "w").glob("*.png"):
        with Image.open(path) as picture:
            assert np.asarray(picture.convert("L")).std() > 5
    code, _, err = weigh("--out", str(tmp_path / "w"))
    assert code == 2 and "strop overwrites nothing" in err


def test_two_runs_side_by_side(weigh, trained, tmp_path):
    """A run against itself is told apart by its folder and has the same figures; text fits 80 columns."""
    shutil.copytree(trained / "runs" / "small", tmp_path / "copy")
    code, out, err = weigh("--against", str(tmp_path / "copy"), "--out", str(tmp_path / "w"), "--pictures", "8")
    assert code == 0, err
    assert max(map(len, out.splitlines()[:-4])) <= 80  # but for the paths of files
    first, second = json.loads((tmp_path / "w" / "weights.json").read_text())["runs"].values()
    assert first == second


def test_weights_without_the_pictures(weigh, trained, tmp_path, strop_in):
    """Where the pictures are gone, the weights are described and a note says what is missing."""
    shutil.copytree(trained / "runs" / "small", tmp_path / "small")
    about = json.loads((tmp_path / "small" / "data.json").read_text())
    (tmp_path / "small" / "data.json").write_text(json.dumps(about | {"location": str(tmp_path / "gone")}))
    code, out, err = strop_in(tmp_path, "info", "small", "--weights", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert "no responses, because its pictures can't be had" in found["notes"][0]
    assert {path.name for path in (tmp_path / "runs" / "small-weights").iterdir()} == {
        "weights.json", "histograms.png", "statistics.png"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["resnet18", "--weights"], "--weights: 'resnet18' is no run: its weights are drawn at random. Give a run."),
        (["runs/small", "--against", "runs/small"], "--against: belongs to --weights."),
        (["runs/small", "--weights", "--against", "runs/no"], "runs/no"),
        (["runs/small-export", "--weights"], "needs a float model, and export made this one."),
        (["runs/small", "--weights", "--against", "runs/small-export", "--diagram", "a.svg"], "needs a float model"),
    ],
)
def test_refusals(trained, strop_in, words, said):
    before = sorted(trained.rglob("*"))
    code, _, err = strop_in(trained, "info", *words)
    assert code == 2 and said in err and sorted(trained.rglob("*")) == before
