"""strop quantize on the command line: what it chooses, what it holds, and what it says where it can't."""

import re
import shutil

import numpy as np
import pytest
import torch

from strop import artifact
from strop.quantize import ranges
from strop.runs import Run, read_json
from strop.steps.data import reopen
from strop.steps.subjects import normalize, open_split, open_subject

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def quantized(trained, strop_in, tmp_path_factory):
    """Run `quantize` on the trained network with some words; the run's folder, its block of result.json, the log."""
    folder = tmp_path_factory.mktemp("quantized")

    def run(name, *words):
        outcome = strop_in(folder, "quantize", trained / "runs" / "small", "--id", name, *words)
        assert outcome.code == 0, outcome.err
        assert [line for line in outcome.out.splitlines() if len(line) > 80] == []
        path = folder / "runs" / name
        return path, read_json(path / "result.json")["quantization"], outcome.out

    return run


def rewrite(trained, folder, *spoiled):
    """A copy of the trained network where channel 0 behind these convolutions is 1e5, and nothing reads it."""
    shutil.copytree(trained / "runs" / "small", folder)
    model, builder = artifact.load(Run(folder)), read_json(folder / "model.json")["builder"]
    features = model.net.features
    with torch.no_grad():
        for number in spoiled:
            norm = next(layer for layer in features[number] if isinstance(layer, torch.nn.BatchNorm2d))
            norm.weight[0], norm.bias[0] = 0, 1e5
            if number + 1 < len(features):
                features[number + 1][0].weight[:, 0] = 0
            else:
                model.net.fc.weight[:, : model.net.fc.in_features // norm.num_features] = 0
    artifact.save(folder, model, builder)
    return folder


def test_auto_keeps_the_best_calibrator(quantized):
    """All three were tried on the validation pictures; the first has the highest accuracy, then the lowest loss."""
    _, about, said = quantized("auto")
    tried = about["calibrators"]
    assert {row["name"] for row in tried} == {"minmax", "entropy", "percentile"}
    assert [(-row["accuracy"], row["loss"]) for row in tried] == sorted((-r["accuracy"], r["loss"]) for r in tried)
    assert about["calibrator"] == tried[0]["name"] and f"{tried[0]['name']} is best" in said


def test_auto_keeps_corrections_that_help(quantized):
    """Each of the four ways was tried; the one that is kept is no worse than the plain one, which was tried first."""
    _, about, _ = quantized("mended", "--scheme", "w3")
    tried = about["corrections"]
    assert [(row["equalize"], row["bias_correction"]) for row in tried] == [
        *((False, False), (False, True), (True, False), (True, True)),
    ]
    kept = next(
        r for r in tried if (r["equalize"], r["bias_correction"]) == (about["equalize"], about["bias_correction"])
    )
    assert (-kept["accuracy"], kept["loss"]) == min((-row["accuracy"], row["loss"]) for row in tried)
    assert kept["accuracy"] == about["file"]["accuracy"]


def test_corrections_that_are_asked_for(quantized):
    """With a calibrator of one's own nothing is tried, and what is asked for is done: the files differ."""
    words = ("--scheme", "w3", "--calibrator", "minmax")
    plain, about, _ = quantized("plain", *words)
    assert (about["equalize"], about["bias_correction"]) == (False, False) and "corrections" not in about
    path, about, _ = quantized("both", *words, "--equalize", "true", "--bias-correction", "true")
    assert (about["equalize"], about["bias_correction"]) == (True, True) and "corrections" not in about
    assert (path / "model.onnx").read_bytes() != (plain / "model.onnx").read_bytes()


def test_agreement_is_that_of_the_files(quantized, trained):
    """Recomposed: the share of validation pictures that parent and file answer alike, and the accuracy lost."""
    path, about, said = quantized("three", "--scheme", "w3", "--calibrator", "minmax")
    parent, run = Run.open(trained / "runs" / "small"), Run.open(path)
    data, model = reopen(parent), artifact.load(parent)
    val = open_split(data, "val", model.preprocess)
    images = val.batch(torch.arange(len(val)))
    with torch.inference_mode():
        theirs, ours = model(images).argmax(1), open_subject(run)(images).argmax(1)
    assert about["agreement"] == float((theirs == ours).float().mean().double())
    lost = ((theirs == val.labels).sum() - (ours == val.labels).sum()) / len(val)
    assert about["accuracy_drop"] == pytest.approx(float(lost), abs=1e-7)
    assert f"the answer of its float parent to {100 * about['agreement']:.2f} % of 48 validation pictures" in said
    assert "3-bit weights are stored in 4 bits" in said and about["note"] in said


def test_a_file_of_four_bits(quantized):
    """The table adds up to less than the file, and every layer has 4 bits; the log says what it does not save."""
    path, about, said = quantized("four", "--scheme", "w4", "--calibrator", "minmax")
    rows = about["layers"]
    assert {(row["bits"], row["stored_bits"]) for row in rows} == {(4, 4)}
    size = (path / "model.onnx").stat().st_size
    assert 0.5 * size < sum(row["bytes_after"] for row in rows) < size
    assert "4-bit weights save bytes, not time" in said
    assert read_json(path / "result.json")["model"]["trained"][-1] == "w4"


def test_mixed_fits_the_budget(quantized):
    """Between the sizes with 4 and with 8 bits everywhere: the file is under it, and no further layer fits in 8."""
    sizes = [
        (quantized(name, "--scheme", name, "--calibrator", "minmax")[0] / "model.onnx").stat().st_size
        for name in ("w4", "int8")
    ]
    budget = sum(sizes) // 2
    path, about, _ = quantized(
        "mixed", "--scheme", "mixed", "--bytes", f"{budget / 1000:.3f}kB", "--calibrator", "minmax"
    )
    size = (path / "model.onnx").stat().st_size
    assert size <= about["limit"] == budget
    four = [row for row in about["layers"] if row["bits"] == 4]
    assert 0 < len(four) < len(about["layers"])
    assert size + min(row["weights"] for row in four) // 2 > budget
    assert [row["layer"] for row in about["sensitivity"]] == [row["layer"] for row in about["layers"]]
    assert (path / "sensitivity.png").stat().st_size > 5000


def test_a_budget_that_cant_be_met(trained, strop):
    """Exit 3 with what was reached, and no folder that looks like a result."""
    outcome = strop("quantize", trained / "runs" / "small", "--scheme", "mixed", "--bytes", "1kB", "--id", "tiny")
    assert outcome.code == 3
    found = re.search(r"1,000 bytes can't be met: ([\d,]+) are needed with 8 bits and ([\d,]+) with 4", outcome.err)
    eight, four = (int(number.replace(",", "")) for number in found.groups())
    assert 1000 < four < eight


def test_layers_that_hurt_stay_in_float(trained, strop, tmp_path):
    """A channel of 1e5 leaves one level to the others: the layers on both sides of it stay in float."""
    parent = rewrite(trained, tmp_path / "spoiled", 0)
    words = ("--max-drop", 6, "--calibrator", "minmax")
    outcome = strop("quantize", parent, "--id", "held", *words)
    assert outcome.code == 0, outcome.err
    about = read_json(tmp_path / "runs" / "held" / "result.json")["quantization"]
    assert set(about["kept"]["float"]) == {"features.0.0", "features.1.0"}
    assert about["accuracy_drop"] <= about["max_drop"] == 0.06
    cost = {row["layer"]: row["loss_rise"] for row in about["sensitivity"]}
    assert min(cost["features.0.0"], cost["features.1.0"]) > 10 * max(cost["features.2.0"], cost["fc"], 0.001)
    assert "kept in float: 2 of 4 layers\n    features." in outcome.out


def test_a_drop_that_cant_be_held(trained, strop, tmp_path):
    """Where every layer touches such a channel, one quantized layer is one too many: exit 3, and what was reached."""
    parent = rewrite(trained, tmp_path / "spoiled", 0, 1, 2)
    outcome = strop("quantize", parent, "--id", "lost", "--max-drop", 1, "--calibrator", "minmax")
    assert outcome.code == 3
    assert re.search(
        r"--max-drop 1: not held. On 48 validation pictures [\d.]+ points are lost with every layer quantized, "
        r"and [\d.]+ with all but one in float",
        outcome.err,
    )
    assert not (tmp_path / "runs" / "lost").exists()


def test_calibration_shows_every_class(trained, strop, monkeypatch):
    """Eight pictures of four classes are two of each, as validation sees them: scaled and normalised, not augmented."""
    seen = []
    observe = ranges.observe

    def watch(prepared, batches):
        seen.extend(batches)
        return observe(prepared, seen)

    monkeypatch.setattr(ranges, "observe", watch)
    outcome = strop("quantize", trained / "runs" / "small", "--images", 8, "--calibrator", "minmax")
    assert outcome.code == 0, outcome.err
    parent = Run.open(trained / "runs" / "small")
    data, preprocess = reopen(parent), artifact.load(parent).preprocess
    train = open_split(data, "train", preprocess)
    known = normalize(train.batch(torch.arange(len(train))).numpy(), preprocess)
    shown = np.concatenate(seen)
    where = [int(np.flatnonzero((known == picture).all((1, 2, 3)))[0]) for picture in shown]
    assert np.bincount(train.labels.numpy()[where]).tolist() == [2, 2, 2, 2]


def test_the_same_file_in_openvino(quantized, trained, strop_in, tmp_path):
    """Accuracy there is within one picture of that in ONNX Runtime; a float run is no file."""
    pytest.importorskip("openvino", reason="openvino is not installed")
    path, about, _ = quantized("plain", "--scheme", "w3", "--calibrator", "minmax")
    outcome = strop_in(tmp_path, "evaluate", path, "--runtime", "openvino")
    assert outcome.code == 0, outcome.err
    scores = read_json(tmp_path / "runs" / "plain-on-val-openvino" / "result.json")["measured"][0]
    assert scores["runtime"] == "openvino" and scores["n"] == 48
    assert abs(scores["accuracy"] - about["file"]["accuracy"]) <= 1 / 48 + 1e-9
    outcome = strop_in(tmp_path, "evaluate", trained / "runs" / "small", "--runtime", "openvino")
    assert outcome.code == 2 and "runs ONNX files. Give a quantized run or an export." in outcome.err
