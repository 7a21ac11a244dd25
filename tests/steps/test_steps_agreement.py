"""One file in several runtimes: accuracies and disagreements, in the result, in the evidence, and verified again."""

import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

import strop.deploy.runtime
from strop.data.dataset import open_data
from strop.data.load import Batch
from strop.deploy.runtime import OnnxModel
from strop.measure.answers import Answers
from strop.measure.evaluate import evaluate
from strop.steps import agreement, runtimes

BOTH = ("--runtime", "onnxruntime,openvino")


class Numbers:
    """A loader of the numbers of N pictures in batches of 7, so that a network can answer by the number."""

    def __init__(self, targets):
        self.targets = torch.from_numpy(targets)

    def __len__(self):
        return -(-len(self.targets) // 7)

    def epoch(self, epoch, start=0, every=1):
        for places in torch.arange(len(self.targets)).split(7)[start::every]:
            yield Batch(places, self.targets[places], places)


def test_disagreements_are_counted_and_listed_to_a_bound(shapes, monkeypatch):
    """Of 60 pictures the first answers all right and the second 5 wrong: 55 of 60, 5 apart, the first 2 by name."""
    data = open_data(str(shapes))
    targets, others = np.asarray(data.labels("test")), [3, 14, 15, 40, 59]

    def answer(places, wrong):
        return one_hot((torch.from_numpy(targets)[places] + torch.isin(places, torch.tensor(wrong))) % 4, 4).float()

    answers = Answers(60, 4)
    scores = evaluate(lambda places: answer(places, []), Numbers(targets), data.classes, answers=answers)
    monkeypatch.setattr(agreement, "LISTED", 2)
    about = {"split": "test", "runtime": "torch"}
    first, second = agreement.measure_runtimes(
        scores | about, answers, {"onnxruntime": lambda places: answer(places, others)}, Numbers(targets), data
    )
    assert (first["name"], first["version"], first["accuracy"]) == ("torch", torch.__version__.partition("-")[0], 1)
    assert (second["n"], second["accuracy"]) == (60, 55 / 60) and "disagreements" not in first
    low, high = second["accuracy_interval"]
    assert low < 55 / 60 < high
    assert (second["disagreements"]["to"], second["disagreements"]["count"]) == ("torch", 5)
    listed = second["disagreements"]["listed"]
    assert [item["index"] for item in listed] == [3, 14]
    names, classes = data.names("test"), data.classes
    assert listed[0] == {
        "index": 3, "name": names[3], "true": classes[targets[3]], "torch": classes[targets[3]],
        "onnxruntime": classes[(targets[3] + 1) % 4],
    }  # fmt: skip


class Shifted(OnnxModel):
    """A runtime that is always wrong where the other is right."""

    def __call__(self, images):
        return np.roll(super().__call__(images), 1, axis=1)


def stand_in(patch, name="OnnxModel"):
    """ONNX Runtime where OpenVINO is asked for: what strop does with two runtimes can be seen without it."""
    patch.setattr(strop.deploy.runtime, "Shifted", Shifted, raising=False)
    patch.setitem(runtimes.ON_FILES, "openvino", ("runtime", name))
    patch.setitem(sys.modules, "openvino", SimpleNamespace(__version__="2026.4.1-0-release"))
    patch.setattr(runtimes, "is_installed", lambda runtime: True)


@pytest.fixture(scope="module")
def both(trained, tmp_path_factory, strop_in):
    """An export that was measured in two runtimes."""
    out = tmp_path_factory.mktemp("both") / "both"
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch)
        outcome = strop_in(trained, "export", "runs/small", "--out", out, *BOTH)
    assert outcome.code == 0 and "in openvino: accuracy" in outcome.out, outcome.err
    return out


@pytest.fixture
def copied(both, tmp_path):
    """A copy of it, that may be tampered with."""
    return shutil.copytree(both, tmp_path / "copy")


def verify(strop_in, folder):
    outcome = strop_in(folder.parent, "verify", folder, "--json")
    found = json.loads(outcome.out)
    return outcome.code, found["verdict"], {check["name"]: (check["holds"], check["said"]) for check in found["checks"]}


def test_the_evidence_of_two_runtimes(both):
    """Accuracy, disagreements and latency of each in the evidence, and a row of the card."""
    evidence = json.loads((both / "evidence.json").read_text())
    ours, theirs = evidence["runtimes"]
    assert [about["name"] for about in (ours, theirs)] == ["onnxruntime", "openvino"]
    assert ours["accuracy"] == theirs["accuracy"] == evidence["accuracy"]["accuracy"]
    assert theirs["disagreements"] == {"to": "onnxruntime", "count": 0, "listed": []}
    assert ours["latency_ms"] == evidence["latency"]["latency_ms"] and theirs["ratio"]["to"] == "onnxruntime"
    row = f"| in openvino 2026.4.1 | accuracy {100 * theirs['accuracy']:.2f} %, 0 of 60 answers differ; latency "
    assert row in (both / "README.md").read_text()


def test_each_runtime_of_the_evidence_is_measured_again(copied, strop_in, monkeypatch):
    stand_in(monkeypatch)
    code, verdict, checks = verify(strop_in, copied)
    assert (code, verdict) == (0, "verified") and checks["in openvino"][0] is True
    assert checks["in openvino"][1] in checks["accuracy"][1].replace(" test)", ")")
    stand_in(monkeypatch, "Shifted")
    code, verdict, checks = verify(strop_in, copied)
    assert (code, verdict) == (3, "differs") and checks["accuracy"][0] and checks["in openvino"][0] is False
    assert checks["in openvino"][1].startswith("accuracy is ") and "the evidence says" in checks["in openvino"][1]


def test_an_evaluation_in_two_runtimes(both, strop_in, tmp_path, monkeypatch):
    """Figures are those of the first; one that is always wrong where it is right disagrees on every picture."""
    stand_in(monkeypatch, "Shifted")
    outcome = strop_in(tmp_path, "evaluate", both, "--split", "test", "--train-pictures", 0, *BOTH)
    assert outcome.code == 0 and "60 of 60 answers differ from onnxruntime" in outcome.out, outcome.err
    result = json.loads((tmp_path / "runs" / "both-on-test-onnxruntime-openvino" / "result.json").read_text())
    ours, theirs = result["runtimes"]
    assert result["measured"][0]["runtime"] == "onnxruntime" and ours["accuracy"] == result["measured"][0]["accuracy"]
    assert theirs["disagreements"]["count"] == 60 and theirs["accuracy"] <= 1 - ours["accuracy"]


def test_what_is_not_installed_is_never_called_verified(copied, strop_in, monkeypatch):
    monkeypatch.setattr(runtimes, "is_installed", lambda runtime: False)
    code, verdict, checks = verify(strop_in, copied)
    assert (code, verdict) == (0, "verified in part") and checks["accuracy"][0] is True
    assert checks["in openvino"] == (None, "not measured: openvino is not installed")
    *_, line, last = strop_in(copied.parent, "verify", copied).out.splitlines()
    assert line == "in openvino   not measured: openvino is not installed" and last == "verified in part"


def test_figures_of_the_second_runtime_are_the_same_everywhere(copied, strop_in):
    """In the evidence, its interval, the card and result.json; a name of no runtime is refused: nothing is imported."""
    evidence = json.loads((copied / "evidence.json").read_text())
    theirs = evidence["runtimes"][1]

    def figures(**changed):
        (copied / "evidence.json").write_text(json.dumps(evidence | {"runtimes": [theirs, theirs | changed]}))
        return verify(strop_in, copied)[2]["figures"]

    holds, said = figures(accuracy=theirs["accuracy"] - 1 / 60)
    assert not holds and said.startswith("the interval of accuracy in openvino is")
    assert figures(disagreements={"count": 7})[1].startswith("in openvino 2026.4.1 is 'accuracy")
    assert "what was measured in each runtime in result.json" in figures()[1]
    (copied / "evidence.json").write_text(
        json.dumps(evidence | {"runtimes": [theirs, theirs | {"name": "antigravity"}]})
    )
    outcome = strop_in(copied.parent, "verify", copied)
    assert outcome.code == 2 and "runtimes.1.name" in outcome.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("evaluate", "runs/small", *BOTH), "runs ONNX files. Give a quantized run or an export."),
        (("evaluate", "runs/small-export", "--runtime", "openvin"), "'openvin' is not a runtime. Did you mean"),
        (("export", "runs/small", "--runtime", "openvino"), "Write onnxruntime,openvino."),
        (("export", "runs/small", "--runtime", "onnxruntime,onnxruntime"), "Write runtimes with commas"),
    ],
)
def test_what_can_not_be_asked_for(trained, strop_in, words, said):
    outcome = strop_in(trained, *words)
    assert outcome.code == 2 and said in " ".join(outcome.err.split())


def test_an_export_is_measured_in_openvino(trained, strop_in, tmp_path):
    """The real one: all answers are ONNX Runtime's, verify measures both, and `evaluate` finds the same."""
    pytest.importorskip("openvino", reason="openvino is not installed")
    out = tmp_path / "both"
    outcome = strop_in(trained, "export", "runs/small", "--out", out, *BOTH)
    assert outcome.code == 0, outcome.err
    ours, theirs = json.loads((out / "evidence.json").read_text())["runtimes"]
    assert ours["accuracy"] == theirs["accuracy"] and theirs["disagreements"]["count"] == 0
    assert verify(strop_in, out)[:2] == (0, "verified")
    outcome = strop_in(tmp_path, "evaluate", out, "--split", "test", *BOTH)
    assert outcome.code == 0, outcome.err
    result = json.loads((tmp_path / "runs" / "both-on-test-onnxruntime-openvino" / "result.json").read_text())
    assert [about["accuracy"] for about in result["runtimes"]] == [ours["accuracy"]] * 2
    assert result["measured"][0]["runtime"] == "onnxruntime"
