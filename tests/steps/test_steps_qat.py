"""strop quantize --epochs: what it trains, what it writes, and that file and trained network are held together."""

import re

import numpy as np
import onnx
import pytest
import torch

from strop import artifact
from strop.errors import GateFailed, RunFailed, UserError
from strop.runs import Run, read_json
from strop.steps import bits, epochs, qat
from strop.steps.data import reopen
from strop.steps.quantize import Quantize
from strop.steps.subjects import open_split, open_subject

pytest.importorskip("torchao", reason="torchao is not installed")

pytestmark = pytest.mark.slow
FAST = ("--epochs", 2, "--batch-size", 32, "--lr", 0.005)


@pytest.fixture(scope="module")
def rounded(trained, strop_in, tmp_path_factory):
    """The folder that two epochs with a control left, and what was said."""
    folder = tmp_path_factory.mktemp("qat")
    outcome = strop_in(folder, "quantize", trained / "runs" / "small", *FAST, "--controls")
    assert outcome.code == 0, outcome.err
    assert [line for line in outcome.out.splitlines() if len(line) > 80] == []
    return folder / "runs" / "small-int8-qat", outcome.out


def test_what_was_trained_is_what_ships(rounded, trained):
    """Recomposed: the accuracy of the file; both figures are written, compared, and beside that of the control."""
    path, said = rounded
    result = read_json(path / "result.json")
    about, run = result["quantization"], Run(path)
    data = reopen(run)
    val = open_split(data, "val", open_subject(run).preprocess)
    hits = (open_subject(run)(val.batch(torch.arange(len(val)))).argmax(1) == val.labels).sum()
    assert about["file"]["accuracy"] == result["measured"][0]["accuracy"] == int(hits) / len(val)
    assert about["difference"] == abs(about["file"]["accuracy"] - about["fake_quantized"]["accuracy"]) <= 1 / len(val)
    assert result["training"]["optimizer"] == "sgd"
    assert about["control"]["epochs"] == about["epochs"] == result["training"]["epochs"] == 2
    assert f"trained as long: {100 * about['control']['accuracy']:.2f} %" in said
    assert result["measured"][0]["runtime"] == "onnxruntime" and result["model"]["trained"][-1] == "int8 QAT"
    assert len(Run(path).metrics()) == len(Run(path / "control").metrics()) == 2


def test_weights_moved(rounded, trained):
    """The integers are not those of calibration alone: it was trained."""
    graph = onnx.load(rounded[0] / "model.onnx").graph
    found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    learned = found["fc.weight_quantized"].astype(int)
    weights = artifact.load(Run(trained / "runs" / "small")).net.fc.weight.detach().numpy()
    before = np.round(weights / (np.abs(weights).max(1, keepdims=True) / 127))
    assert learned.shape == before.shape and (learned != before).mean() > 0.1


def test_stopped_it_goes_on_to_the_same_bytes(rounded, trained, strop, tmp_path, monkeypatch):
    """The network is made again and its state loaded: the file is that of a run in one go, to the byte."""
    write = epochs.Journal.write

    def fail_once(self, line):
        write(self, line)
        monkeypatch.setattr(epochs.Journal, "write", write)
        raise RunFailed("stopped by the test")

    monkeypatch.setattr(epochs.Journal, "write", fail_once)
    words = ("quantize", trained / "runs" / "small", *FAST, "--save-minutes", 0)
    assert strop(*words).code == 1
    outcome = strop(*words)
    assert outcome.code == 0 and "resumed at step" in outcome.out, outcome.err
    again = tmp_path / "runs" / "small-int8-qat"
    assert (again / "model.onnx").read_bytes() == (rounded[0] / "model.onnx").read_bytes()
    for name in ("fake_quantized", "file"):
        assert (
            read_json(again / "result.json")["quantization"][name]
            == (read_json(rounded[0] / "result.json")["quantization"][name])
        )


def test_a_file_that_answers_otherwise_is_no_result(trained, strop, monkeypatch, tmp_path):
    """Exit 3, with both figures, where the file does not answer as the network did; here its classes are turned.

    The same command goes on with the bits that were chosen before, and each layer has those in the file: here 32, 8, 4
    and 6, whatever was chosen.
    """
    wanted = {"features.0.0": 32, "features.1.0": 8, "features.2.0": 4, "fc": 6}
    words = ("quantize", trained / "runs" / "small", "--id", "held", "--scheme", "w3", "--max-drop", 60, *FAST)
    convert = qat.export_float

    def spoil(net, shape, path):
        convert(net, shape, path)
        model = onnx.load(path)
        bias = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("fc.bias"))
        bias.CopyFrom(onnx.numpy_helper.from_array(np.float32([50, 0, 0, 0]), bias.name))
        onnx.save(model, path)

    monkeypatch.setattr(qat, "multiplies_int8_exactly", lambda: True)
    monkeypatch.setattr(qat, "export_float", spoil)
    monkeypatch.setattr(bits, "hold_drop", lambda *_, **__: wanted)
    outcome = strop(*words)
    assert outcome.code == 3
    assert "25.00 % in ONNX Runtime and" in outcome.err and "of 48 validation pictures" in outcome.err
    path = tmp_path / "runs" / "held"
    assert read_json(path / "bits.json")["chosen"]["bits"] == wanted and not (path / "result.json").exists()

    monkeypatch.setattr(qat, "export_float", convert)
    monkeypatch.setattr(qat, "choose_bits", None)
    outcome = strop(*words)
    assert outcome.code == 0, outcome.err
    about = read_json(path / "result.json")["quantization"]
    assert {row["layer"]: row["bits"] for row in about["layers"]} == wanted
    assert {row["layer"]: row["stored_bits"] for row in about["layers"]} == wanted | {"fc": 8}
    assert [row["layer"] for row in about["sensitivity"]] == list(wanted)
    assert about["kept"] == {"int8": ["features.1.0"], "float": ["features.0.0"]}
    assert f"with the same bits, not trained: {100 * about['calibrated']['accuracy']:.2f} %" in outcome.out
    assert about["accuracy_drop"] <= about["max_drop"] == 0.6 and about["difference"] <= 1 / 48 + 1e-9
    tensors = {tensor.name: tensor for tensor in onnx.load(path / "model.onnx").graph.initializer}
    six = onnx.numpy_helper.to_array(tensors["fc.weight_quantized"])
    assert np.abs(six).max() == 31  # 2^5 - 1
    before = artifact.load(Run(trained / "runs" / "small")).net.fc.weight.detach().numpy()
    assert not np.array_equal(six, np.round(before / (np.abs(before).max(1, keepdims=True) / 31)))


def test_the_trained_file_holds_the_drop_too():
    qat.check_drop(0.3, 0.003, 5000)
    message = "--max-drop 0.3: not held. On 5,000 validation pictures the trained file loses 0.32 points."
    with pytest.raises(GateFailed, match=re.escape(message)):
        qat.check_drop(0.3, 0.0032, 5000)


def test_mixed_bits_are_trained_and_fit(trained, strop, tmp_path, monkeypatch):
    """The budget, between a file of 4 and one of 8 bits, is held by the file that was trained; some layers have 4."""
    monkeypatch.setattr(qat, "multiplies_int8_exactly", lambda: True)
    budget = 60_000
    words = ("--scheme", "mixed", "--bytes", f"{budget / 1000}kB", "--id", "mixed")
    outcome = strop("quantize", trained / "runs" / "small", *words, *FAST)
    assert outcome.code == 0, outcome.err
    assert [line for line in outcome.out.splitlines() if len(line) > 80] == []
    path = tmp_path / "runs" / "mixed"
    about = read_json(path / "result.json")["quantization"]
    chosen = {row["layer"]: row["bits"] for row in about["layers"]}
    four = [row for row in about["layers"] if row["bits"] == 4]
    size = (path / "model.onnx").stat().st_size
    assert size <= about["limit"] == budget and 0 < len(four) < len(chosen)
    assert size + min(row["weights"] for row in four) // 2 > budget
    assert all(row["stored_bits"] == row["bits"] for row in about["layers"])
    assert about["difference"] <= 1 / 48 + 1e-9 and chosen == read_json(path / "bits.json")["chosen"]["bits"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0.01}, "lr: has no effect without epochs. Add --epochs 3 to train, or leave it out."),
        ({"controls": True}, "controls: has no effect without epochs"),
        ({"teacher": "runs/other"}, "teacher: has no effect without epochs"),
        ({"epochs": 1, "scheme": "mixed"}, "bytes: scheme mixed needs a budget for the file"),
        ({"epochs": 1, "calibrator": "minmax"}, "calibrator: has no effect with epochs; ranges and biases are learned"),
        ({"epochs": 1, "sparsify": "l1"}, "sparsify: has no effect on a network that is being rounded"),
        ({"epochs": 1, "precision": "bf16"}, "precision: rounding is trained in fp32, not bf16"),
        ({"epochs": 1, "teacher": "runs/other", "distill": "none"}, "teacher: has no effect with distill none"),
    ],
)
def test_options_without_effect_are_refused(options, message):
    with pytest.raises(UserError, match=message[:60].replace("(", "\\(")):
        Quantize(parent="runs/small", **options)


def test_without_epochs_the_config_is_as_before():
    """What has no effect is neither written nor in the key; with epochs a hundredth of the usual rate is filled in."""
    assert set(Quantize(parent="a").settings()) == {
        *("id", "out", "seed", "device", "parent", "data", "scheme", "images"),
        *("calibrator", "equalize", "bias_correction", "max_drop", "bytes", "sensitivity"),
    }
    assert Quantize(parent="a", epochs=3).lr == pytest.approx(0.0005)
    assert Quantize(parent="a", epochs=3, optimizer="adamw").lr == pytest.approx(1e-5)
    assert Quantize(parent="a", **{"weight_decay": 5e-4}).epochs is None  # as a config.yaml may say
