"""An export held against its evidence: what is caught, what is refused, and what is called verified."""

import json
import os
import shutil

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from strop.deploy.evidence import LARGEST_JSON
from strop.runs import file_hash
from strop.steps.verify import _on_this_machine


def edit(path, change):
    """Put the JSON of a file through `change`, which returns the new value or changes it in place."""
    value = json.loads(path.read_text(encoding="utf-8"))
    changed = change(value)
    path.write_text(json.dumps(value if changed is None else changed), encoding="utf-8")


def sign_again(folder):
    """What a careful forger does: hashes and sizes in the evidence are those of the changed files."""
    evidence = json.loads((folder / "evidence.json").read_text(encoding="utf-8"))
    for name, about in evidence["files"].items():
        if (folder / name).is_file():
            about["sha256"] = file_hash(folder / name).removeprefix("sha256:")
            about["bytes"] = (folder / name).stat().st_size
    (folder / "evidence.json").write_text(json.dumps(evidence | evidence["files"]["model.onnx"]))


def change_graph(folder, name, value):
    """Replace a constant of the graph."""
    model = onnx.load(folder / "model.onnx")
    [tensor] = [tensor for tensor in model.graph.initializer if tensor.name == name]
    before = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(np.full_like(before, value), name))
    onnx.save(model, folder / "model.onnx")


def swap(names):
    names[0], names[1] = names[1], names[0]


def test_an_export_is_verified(verify, copied):
    """As it was written, and copied elsewhere: all checks, the accuracy measured again."""
    code, verdict, checks = verify(copied)
    assert (code, verdict) == (0, "verified")
    assert list(checks) == ["file", "classes", "preprocessing", "files", "figures", "origin", "accuracy"]
    accuracy = json.loads((copied / "evidence.json").read_text())["accuracy"]["accuracy"]
    assert checks["accuracy"][1] == f"{100 * accuracy:.2f} % ({round(60 * accuracy)} of 60 test)"


def test_it_says_so_in_80_columns(strop_in, copied, tmp_path):
    """A line a check, the verdict last, and what differs on its line."""
    *lines, last = strop_in(tmp_path, "verify", copied).out.splitlines()
    assert last == "verified" and len(lines) == 7
    edit(copied / "classes.json", swap)
    outcome = strop_in(tmp_path, "verify", copied)
    assert outcome.code == 3 and outcome.err == ""
    assert "DIFFERS: classes.json has 'disc' as number 0, the evidence has 'columns'" in " ".join(outcome.out.split())
    assert outcome.out.splitlines()[-1] == "differs" and max(map(len, outcome.out.splitlines())) <= 80


@pytest.mark.parametrize("where", [0.01, 0.5, 0.99])
def test_a_flipped_byte(verify, copied, where):
    """One bit anywhere in the file: another sha256; nothing is measured."""
    raw = bytearray((copied / "model.onnx").read_bytes())
    raw[int(where * len(raw))] ^= 1
    (copied / "model.onnx").write_bytes(raw)
    code, verdict, checks = verify(copied)
    assert (code, verdict, checks["file"][0]) == (3, "differs", False)
    assert "is another file" in checks["file"][1] and "accuracy" not in checks


def test_another_length(verify, copied):
    """A cut-off or longer file is told by its size, and not read further than that."""
    raw = (copied / "model.onnx").read_bytes()
    for other in (raw[:-1], raw + b"\0"):
        (copied / "model.onnx").write_bytes(other)
        code, _, checks = verify(copied)
        assert code == 3 and f"has {len(other):,} bytes" in checks["file"][1]


@pytest.mark.parametrize(
    "places", [["classes.json"], ["evidence.json"], ["model.json"], ["classes.json", "evidence.json"]]
)
def test_swapped_classes(verify, copied, places):
    """Two names exchanged in one place, or in both that lie beside the file: the file itself has the order too."""
    for place in places:
        edit(copied / place, swap if place == "classes.json" else lambda value: swap(value["classes"]))
    code, verdict, checks = verify(copied)
    assert (code, verdict, checks["classes"][0]) == (3, "differs", False)


@pytest.mark.parametrize("place", ["evidence.json", "model.json"])
@pytest.mark.parametrize(
    ("option", "value"),
    [("mean", [0.123]), ("std", [0.5]), ("input_size", 25), ("alpha", "black"), ("temperature", 2.0)],
)
def test_changed_preprocessing(verify, copied, place, option, value):
    """Any option that is not that of the file, in the evidence or in model.json."""
    if place == "model.json" and option == "temperature":
        return  # a network has none
    edit(copied / place, lambda about: about["preprocess"].update({option: value}))
    code, _, checks = verify(copied)
    assert code == 3 and f"{option} is" in checks["preprocessing"][1]


@pytest.mark.parametrize(
    ("name", "words"),
    [("strop_shift", "the mean"), ("strop_scale", "the SD"), ("strop_temperature", "the temperature")],
)
def test_a_changed_mean_in_the_graph(verify, copied, name, words):
    """The numbers of the graph are read, so a file that was changed and hashed again is caught without pictures."""
    change_graph(copied, name, 0.7)
    sign_again(copied)
    (copied / "data.json").unlink()
    code, _, checks = verify(copied)
    assert checks["file"][0] and code == 3
    assert f"{words} in the graph of model.onnx is not that in the evidence" in checks["preprocessing"][1]


def test_changed_nodes_in_front(verify, copied):
    """A graph that cuts elsewhere is no longer what export writes."""
    model = onnx.load(copied / "model.onnx")
    cut = next(node for node in model.graph.node if node.op_type == "Slice")
    cut.input[1] = "strop_rest"
    onnx.save(model, copied / "model.onnx")
    sign_again(copied)
    code, _, checks = verify(copied)
    assert code == 3 and "does not cut and scale" in checks["preprocessing"][1]


def test_other_weights(verify, copied):
    """A network of other weights, hashed again, keeps every hash and setting: only the pictures tell."""
    model = onnx.load(copied / "model.onnx")
    last = max((t for t in model.graph.initializer if len(t.dims) == 2), key=lambda tensor: len(tensor.raw_data))
    weights = numpy_helper.to_array(last)
    last.CopyFrom(numpy_helper.from_array(np.roll(weights, 1, int(weights.shape[0] != 4)), last.name))
    onnx.save(model, copied / "model.onnx")
    sign_again(copied)
    code, verdict, checks = verify(copied)
    assert (code, verdict) == (3, "differs")
    assert [name for name, (holds, _) in checks.items() if not holds] == ["accuracy"]


def test_an_embellished_accuracy(verify, copied):
    """A figure that the file does not reach; as many points may be granted as one asks for."""
    for file in ("evidence.json", "result.json"):  # macro recall does not stand in the card
        about = (lambda e: e["accuracy"]) if file == "evidence.json" else (lambda r: r["measured"][0])
        edit(copied / file, lambda value, about=about: about(value).update(macro_recall=0.5))
    sign_again(copied)
    code, _, checks = verify(copied)
    assert code == 3 and "the evidence says 50.00 %" in checks["accuracy"][1]
    assert verify(copied, "--tolerance", 60)[:2] == (0, "verified")


def test_without_the_pictures(verify, copied, trained, shapes):
    """`hashes only`, never `verified`, with exit 0; with --data, where they are now, it is verified."""
    edit(copied / "data.json", lambda about: about.update(location="/nowhere/shapes"))
    sign_again(copied)
    code, verdict, checks = verify(copied)
    assert (code, verdict) == (0, "hashes only") and "accuracy" not in checks
    assert verify(copied, "--data", shapes)[:2] == (0, "verified")
    (copied / "data.json").unlink()
    assert verify(copied)[:2] == (0, "hashes only")
    assert "has no data.json" in verify(copied, "--data", shapes).err


def test_the_bare_folder_is_enough(verify, copied):
    """model.onnx, classes.json and evidence.json, as one hands them on."""
    for path in copied.iterdir():
        if path.name not in ("model.onnx", "classes.json", "evidence.json"):
            path.unlink()
    assert verify(copied)[:2] == (0, "hashes only")


def test_no_network_is_asked(verify, copied):
    """A set that would have to be fetched is not, whatever data.json says."""
    for location, source in (("hf:some/set", "hf"), (None, "cifar10")):
        edit(copied / "data.json", lambda about, place=location, name=source: about.update(location=place, source=name))
        edit(copied / "evidence.json", lambda evidence, name=source: evidence.update(source=name))
        sign_again(copied)
        assert verify(copied)[:2] == (0, "hashes only")


def test_other_pictures(verify, copied, shapes, tmp_path):
    """--data with another picture in it can't verify anything: wrong input."""
    other = shutil.copytree(shapes, tmp_path / "shapes")
    shutil.copy(other / "test" / "rows" / "000.png", other / "test" / "rows" / "zzz.png")
    outcome = verify(copied, "--data", other)
    assert outcome.code == 2 and "are not the pictures that the evidence is about" in outcome.err


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[" * 200_000, '{"format": 1}', '{"format": NaN}', "\x00"])
@pytest.mark.parametrize("file", ["evidence.json", "data.json", "classes.json"])
def test_broken_json(verify, copied, file, text):
    """Exit 2 or 3 and a sentence, no traceback."""
    (copied / file).write_text(text)
    outcome = verify(copied)
    assert outcome[0] in (2, 3)
    if outcome[0] == 2:
        assert outcome.err.startswith("error: ") and "Traceback" not in outcome.err and file in outcome.err


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/passwd", "other.onnx", "model.onnx\0"])
def test_evidence_names_no_other_file(verify, copied, name):
    """`file` can be model.onnx only."""
    edit(copied / "evidence.json", lambda evidence: evidence.update(file=name))
    outcome = verify(copied)
    assert outcome.code == 2 and "file: " in outcome.err


@pytest.mark.parametrize("file", ["evidence.json", "classes.json", "model.onnx", "README.md", "predict.py"])
def test_links_out_of_the_folder(verify, copied, tmp_path, file):
    """Refused, so that nothing outside is read or told about."""
    (copied / file).rename(tmp_path / "outside")
    (copied / file).symlink_to(tmp_path / "outside")
    outcome = verify(copied)
    assert outcome.code == 2 and "is a link to a file outside the folder" in outcome.err


@pytest.mark.parametrize("file", ["evidence.json", "classes.json", "model.onnx"])
def test_a_pipe_is_not_waited_for(verify, copied, file):
    """Exit code and a sentence at once."""
    (copied / file).unlink()
    os.mkfifo(copied / file)
    assert verify(copied)[0] in (2, 3)


def test_giant_files(verify, copied):
    """Sparse files of many gigabytes are refused by their size, before they are read."""
    os.truncate(copied / "model.onnx", 2**40)
    code, _, checks = verify(copied)
    assert code == 3 and "1,099,511,627,776 bytes" in checks["file"][1]
    edit(copied / "evidence.json", lambda evidence: evidence.update(bytes=2**40))
    assert "bytes: " in verify(copied).err
    os.truncate(copied / "evidence.json", LARGEST_JSON + 10)
    outcome = verify(copied)
    assert outcome.code == 2 and "is larger than" in outcome.err


def test_what_is_no_export(verify, trained, tmp_path):
    """A run, an empty folder, nothing: each is told what to give."""
    for folder in (trained / "runs" / "small", tmp_path, tmp_path / "none"):
        outcome = verify(folder)
        assert outcome.code == 2 and "Give a folder that strop export wrote" in outcome.err


def test_bundled_pictures_are_always_here():
    """A set that comes with strop needs no --data; one that would have to be fetched does."""
    assert _on_this_machine({"location": None, "source": "fashion-mini"}) == "fashion-mini"
    assert _on_this_machine({"location": None, "source": "cifar10"}) is None
