"""export --also: each form is measured, bound to its bytes and held by verify; one that disagrees is not left there."""

import hashlib
import json
import shutil
from importlib.metadata import version

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from strop.deploy.forms import forms
from strop.deploy.runtime import OnnxModel
from strop.errors import UserError
from strop.steps import forms as step
from strop.steps.forms import disagrees, expressing

COPY = '''
"""A form for tests: model.onnx once more."""

from ..runtime import OnnxModel
from . import forms


@forms.add("copy")
class Copy:
    """The exported file under another name."""

    files, package = ("model.copy", "model.more"), "numpy"
    from_torch, any_size = True, False
    danger, runs_if_trusted = "who knows", True
    about, program = "For tests.", "open('model.copy')"

    @staticmethod
    def write(source):
        return {"model.copy": source.file.read_bytes(), "model.more": b"more"}

    @staticmethod
    def open(files):
        return OnnxModel(files["model.copy"])
'''


@pytest.fixture
def added(tmp_path, monkeypatch):
    """added(before, after): a form in a file of its own, in a folder that is looked in too; changed first."""
    for name in forms.names():
        forms.get(name)  # what is imported while the list below is a copy would be missing from the real one
    monkeypatch.setattr(forms, "path", [*forms.path, str(tmp_path / "more")])
    monkeypatch.setattr(forms, "_loaded", dict(forms._loaded))

    def add(before="", after=""):
        assert before in COPY
        (tmp_path / "more").mkdir()
        (tmp_path / "more" / "copy.py").write_text(COPY.replace(before, after) if before else COPY, encoding="utf-8")

    return add


@pytest.fixture(scope="session")
def with_pt2(trained, strop_in):
    """runs/with-pt2, exported from runs/small."""
    outcome = strop_in(trained, "export", "runs/small", "--also", "pt2", "--id", "with-pt2")
    assert outcome.code == 0, outcome.err
    return trained / "runs" / "with-pt2"


@pytest.fixture
def copied(with_pt2, tmp_path):
    """A copy that may be tampered with."""
    return shutil.copytree(with_pt2, tmp_path / "alone" / "copy")


@pytest.fixture
def last_line(strop_in, tmp_path):
    """What verify says at the end, on a screen."""
    return lambda folder, *words: strop_in(tmp_path, "verify", folder, *words).out.splitlines()[-1]


def edit(folder, change):
    """Change the evidence in place."""
    evidence = json.loads((folder / "evidence.json").read_text(encoding="utf-8"))
    change(evidence)
    (folder / "evidence.json").write_text(json.dumps(evidence), encoding="utf-8")


def test_no_form_without_being_asked(trained, read):
    """The default export is what it was."""
    folder = trained / "runs" / "small-export"
    assert not [path for path in folder.glob("model.*") if path.suffix not in (".onnx", ".json")]
    assert "forms" not in read(folder, "evidence.json") and "forms" not in read(folder, "result.json")
    assert "Other forms" not in (folder / "README.md").read_text(encoding="utf-8")


def test_the_evidence_of_a_form(with_pt2, read):
    """Hash and size of the file that lies there; every picture of the split gets the class that model.onnx gives."""
    [block] = read(with_pt2, "evidence.json")["forms"]
    raw = (with_pt2 / "model.pt2").read_bytes()
    assert block["files"] == {"model.pt2": {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}}
    assert (block["form"], block["runtime"]) == ("pt2", f"torch {version('torch')}")
    assert block["agreement"]["n"] == block["agreement"]["same_class"] == 60
    assert 0 <= block["agreement"]["largest_difference"] < 1e-3
    assert block["accuracy"] == read(with_pt2, "evidence.json")["accuracy"]["accuracy"]
    assert read(with_pt2, "result.json")["forms"] == [block]


def test_model_onnx_is_the_same_with_and_without(with_pt2, trained):
    """A form changes nothing in the file beside it."""
    assert (with_pt2 / "model.onnx").read_bytes() == (trained / "runs" / "small-export" / "model.onnx").read_bytes()


def test_the_program_of_the_card_runs(with_pt2, shapes, monkeypatch):
    """It is typed as it stands there, and gives the probabilities of model.onnx."""
    page = (with_pt2 / "README.md").read_text(encoding="utf-8")
    assert "the class of `model.onnx` on 60 of 60 pictures, torch " in page
    program = page.split("`model.pt2`: ")[1].split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(with_pt2)
    found = {}
    exec(program.replace("picture.jpg", str(shapes / "test" / "disc" / "000.png")), found)
    expected = OnnxModel(with_pt2 / "model.onnx")(found["numpy"].array(found["image"])[None])[0]
    assert np.abs(found["probabilities"].numpy() - expected).max() < 1e-4


def test_verify_holds_a_pt2_by_its_hash_only(verify, last_line, copied, monkeypatch):
    """It says exactly that, and never loads one, trusted or not."""

    def load(*_, **__):
        raise AssertionError("a .pt2 was loaded")

    monkeypatch.setattr(torch.export, "load", load)
    for words in ([], ["--trusted"]):
        code, verdict, checks = verify(copied, *words)
        assert (code, verdict) == (0, "verified")
        assert checks["pt2"][0] and checks["pt2"][1].endswith("by hash only: loading a .pt2 can run any code")
    assert last_line(copied, "--trusted") == "verified: model.pt2 by hash only"
    (copied / "data.json").unlink()
    code, verdict, checks = verify(copied)
    assert (code, verdict) == (0, "hashes only") and checks["pt2"][0]


def test_a_tampered_form(verify, copied):
    """A flipped bit, a byte more, a link that leads nowhere: exit 3 and the reason."""
    path = copied / "model.pt2"
    raw = path.read_bytes()
    path.write_bytes(bytes([raw[0] ^ 1]) + raw[1:])
    code, verdict, checks = verify(copied)
    assert (code, verdict, checks["pt2"][0]) == (3, "differs", False)
    assert "model.pt2 is another file" in checks["pt2"][1] and "accuracy" not in checks
    path.write_bytes(raw + b"\0")
    assert f"model.pt2 has {len(raw) + 1:,} bytes" in verify(copied)[2]["pt2"][1]


@pytest.mark.parametrize("place", ["README.md", "result.json"])
def test_two_figures_of_one_form(verify, copied, place):
    """Another accuracy or agreement in the card or in result.json, hashed again."""
    path = copied / place
    before, after = ("on 60 of 60", "on 59 of 60") if place == "README.md" else ('"same_class": 60', '"same_class": 59')
    text = path.read_text(encoding="utf-8")
    at = text.rindex(before)
    path.write_text(text[:at] + after + text[at + len(before) :], encoding="utf-8")
    raw = path.read_bytes()
    signed = {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    edit(copied, lambda evidence: evidence["files"].update({place: signed}))
    code, _, checks = verify(copied)
    assert code == 3 and [name for name, check in checks.items() if not check[0]] == ["figures"]


def test_a_form_that_was_left_out(verify, copied):
    """A copy need not have it; one that the evidence does not know is no part of the export."""
    (copied / "model.pt2").rename(copied / "kept")
    code, verdict, checks = verify(copied)
    assert (code, verdict) == (0, "verified") and checks["pt2"][1] == "model.pt2 not in the folder"
    (copied / "kept").rename(copied / "model.pt2")
    edit(copied, lambda evidence: evidence.pop("forms"))
    code, _, checks = verify(copied)
    assert code == 3 and "the evidence says nothing of it" in checks["pt2"][1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda block: block.update(accuracy=0.25), "accuracy 25.00 % can't be"),
        (lambda block: block["agreement"].update(n=10_000, same_class=10_000), "is about 10,000 of 10,000 pictures"),
        (lambda block: block["agreement"].update(same_class=61), "is about 61 of 60 pictures"),
    ],
)
def test_figures_that_cannot_be(verify, copied, change, words):
    """As many right as model.onnx has, but for the pictures that get another class."""
    edit(copied, lambda evidence: change(evidence["forms"][0]))
    code, _, checks = verify(copied)
    assert code == 3 and words in checks["pt2"][1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda block: block.update(form="pt3"), "'pt3' is not a form. Did you mean 'pt2'?"),
        (lambda block: block.update(files={"../secret": block["files"]["model.pt2"]}), "its files are model.pt2"),
        (lambda block: block["files"]["model.pt2"].update(bytes=2**40), "less than or equal"),
        (lambda block: block["agreement"].update(n=0), "greater than or equal"),
    ],
)
def test_evidence_of_no_form(verify, copied, change, words):
    """Wrong input, 2: names no other file, no giant one."""
    edit(copied, lambda evidence: change(evidence["forms"][0]))
    outcome = verify(copied)
    assert outcome.code == 2 and words in " ".join(outcome.err.split())


def test_a_form_is_one_file(added, trained, strop_in, verify, last_line, read):
    """Dropped into the folder it is made, measured and bound; `--trusted` measures it again."""
    added()
    outcome = strop_in(trained, "export", "runs/small", "--also", "copy", "--id", "copied")
    assert outcome.code == 0, outcome.err
    folder = trained / "runs" / "copied"
    [block] = read(folder, "evidence.json")["forms"]
    assert block["form"] == "copy" and list(block["files"]) == ["model.copy", "model.more"]
    assert last_line(folder) == "verified: model.copy, model.more by hash only"
    code, verdict, checks = verify(folder, "--trusted")
    assert (code, verdict) == (0, "verified")
    assert "the class of model.onnx on 60 of 60 pictures" in checks["copy"][1]

    other = folder / "model.copy"  # other weights, and a hash that goes with them: only the pictures tell
    model = onnx.load(other)
    last = max((t for t in model.graph.initializer if len(t.dims) == 2), key=lambda tensor: len(tensor.raw_data))
    weights = numpy_helper.to_array(last)
    last.CopyFrom(numpy_helper.from_array(np.roll(weights, 1, int(weights.shape[0] != 4)), last.name))
    onnx.save(model, other)
    raw = other.read_bytes()
    signed = {"model.copy": {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}}
    edit(
        folder, lambda evidence: [files.update(signed) for files in (evidence["forms"][0]["files"], evidence["files"])]
    )
    (folder / "result.json").unlink()
    assert verify(folder)[:2] == (0, "verified")
    code, verdict, checks = verify(folder, "--trusted")
    assert (code, verdict) == (3, "differs") and [name for name, check in checks.items() if not check[0]] == ["copy"]


def test_a_form_that_disagrees_is_not_left(added, trained, strop_in):
    """Classes in another order: exit 3, the reason, and no folder that looks as if it were good."""
    added('return OnnxModel(files["model.copy"])', "session = OnnxModel(files['model.copy'])\n"
          "        return lambda images: session(images)[:, [1, 0, 2, 3]]")  # fmt: skip
    outcome = strop_in(trained, "export", "runs/small", "--also", "copy", "--id", "crossed")
    assert outcome.code == 3
    assert "--also copy: model.copy, model.more: the class of model.onnx on " in " ".join(outcome.err.split())
    assert not (trained / "runs" / "crossed").exists()


def test_how_far_a_form_may_be_off():
    """999 classes of 1,000 and a probability by 0.01; NaN never agrees."""
    good = {"n": 1000, "same_class": 999, "largest_difference": 0.01}
    assert not disagrees(good)
    for wrong in ({"same_class": 998}, {"largest_difference": 0.011}, {"largest_difference": float("nan")}):
        assert disagrees(good | wrong)


def test_a_network_that_a_runtime_can_not_run():
    """What torch and the runtimes raise becomes a sentence; a full disk stays what it is."""
    with (
        pytest.raises(UserError, match=r"--also executorch: can't express this network \(execute\(\) failed\)"),
        expressing("executorch"),
    ):
        raise RuntimeError("\nexecute() failed\nmore")
    with pytest.raises(OSError, match="No space"), expressing("pt2"):
        raise OSError("No space left on device")


def test_what_is_refused(added, trained, strop_in, monkeypatch):
    """Before anything is written: unknown forms, forms twice, what is not installed; and what can't be expressed."""

    def said(also):
        outcome = strop_in(trained, "export", "runs/small", "--also", also, "--id", "refused")
        assert outcome.code == 2 and not (trained / "runs" / "refused").exists()
        return " ".join(outcome.err.split())

    assert "'onnx' is not a form. Known: executorch, openvino, pt2" in said("onnx")
    assert "Write forms with commas: pt2,openvino." in said("pt2,pt2")
    added('return {"model', "raise ValueError('no such operator')\n        return {\"model")
    assert "--also copy: can't express this network (no such operator). Leave it out." in said("copy")
    monkeypatch.setattr(step, "find_spec", lambda name: None)
    assert "--also executorch: is not installed. Write: pip install 'strop[executorch]'" in said("executorch")


def test_trusted_needs_what_runs_it(verify, copied, monkeypatch):
    """Said before the pictures are measured."""
    monkeypatch.setattr(step, "find_spec", lambda name: None)
    files = {"model.pte": {"bytes": 1, "sha256": "0" * 64}}
    edit(
        copied, lambda evidence: evidence["forms"].append(evidence["forms"][0] | {"form": "executorch", "files": files})
    )
    outcome = verify(copied, "--trusted")
    assert outcome.code == 2 and "executorch is not installed" in outcome.err


def test_a_quantized_run(pipeline, strop_in, verify, read):
    """What is made from a network in torch can't be; OpenVINO reads the exported file itself."""
    outcome = strop_in(pipeline.folder, "export", "runs/student-pruned-int8", "--also", "pt2", "--id", "int8-forms")
    assert outcome.code == 2 and "is a quantized ONNX file. Export its float parent." in " ".join(outcome.err.split())
    pytest.importorskip("openvino")
    outcome = strop_in(
        pipeline.folder, "export", "runs/student-pruned-int8", "--also", "openvino", "--id", "int8-forms"
    )
    assert outcome.code == 0, outcome.err
    folder = pipeline.folder / "runs" / "int8-forms"
    assert read(folder, "evidence.json")["forms"][0]["agreement"]["same_class"] == 60
    code, verdict, checks = verify(folder, "--trusted")
    assert (code, verdict) == (0, "verified") and "60 of 60 pictures" in checks["openvino"][1]


def test_executorch_is_made_and_measured(trained, strop_in, verify, read):
    """model.pte, on squares that strop cuts; held by its hash, and measured again where the folder is trusted."""
    pytest.importorskip("executorch", reason="executorch is not installed")
    outcome = strop_in(trained, "export", "runs/small", "--also", "executorch", "--id", "with-pte")
    assert outcome.code == 0, outcome.err
    folder = trained / "runs" / "with-pte"
    [block] = read(folder, "evidence.json")["forms"]
    assert block["input"]["shape"] == [1, 24, 24, 3] and block["agreement"]["same_class"] == 60
    code, verdict, checks = verify(folder, "--trusted")
    assert (code, verdict) == (0, "verified") and "60 of 60 pictures" in checks["executorch"][1]
