"""The folder to deploy: evidence bound to the bytes, names in order, and a page whose code runs."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from strop import runs
from strop.data.geometry import fit_square
from strop.deploy.card import write_card
from strop.deploy.classify import to_channels_last
from strop.deploy.evidence import Evidence, lineage, write_evidence
from strop.deploy.files import list_files
from strop.deploy.onnx import merge_preprocessing
from strop.deploy.runtime import OnnxModel
from strop.deploy.settings import Settings
from strop.measure.metrics import score

CLASSES = ["zebra", "ant", 'a "quoted" one', "été", "1", "b", "c", "d", "e", "f"]


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def deployed(exported, tmp_path, request):
    """A deployment folder of an untrained network, with scores made up from a matrix; and its result."""
    channels = request.param
    model = {"folder": tmp_path / "student", "id": "student", "verb": "train", "parents": {}}
    parent = start(**model)
    (parent.folder / "model.safetensors").write_bytes(b"stands for the parent's tensors")
    run = start(folder=tmp_path / "student-export", id="student-export", verb="export", parents={"parent": parent})
    file = run.folder / "model.onnx"
    settings = Settings(input_size=32, channels=channels, mean=[0.4] * channels, std=[0.25] * channels)
    merge_preprocessing(exported("cnn3", channels)[1], file, settings, CLASSES)
    runs.write_json(run.folder / "data.json", {"counts": {"train": {"zebra": 1200, "ant": 34}}})
    scores = {"split": "test", "data": "blake2b:1234", "classes": CLASSES, "loss": 0.5}
    result = {
        "model": {
            "name": "cnn3", "trained": ["L2", "distilled"], "input_size": [channels, 32, 32], "parameters": 74_986,
            "macs": 1_234_567, "file": "model.onnx", "bytes": file.stat().st_size, "hash": run.model_hash(),
        },
        "measured": [scores | score(np.diag([90] * 10) + np.eye(10, k=1, dtype=int) * 10, CLASSES)],
        "latency": {"latency_ms": {"p50": 0.1234, "p95": 0.2345, "n": 50}},
    }  # fmt: skip
    for write in (write_card, write_evidence):
        write(run, result, settings, {"n": 990, "same_class": 988, "largest_difference": 0.01}, "animals")
    list_files(run)
    return run.folder, result, channels


def start(folder, id, verb, parents):
    return runs.create(folder, id=id, verb=verb, key="k", parents=parents, seed=0, command="strop", device="cpu")


def test_the_evidence_is_bound_to_the_bytes(deployed):
    """sha256 and size are those of the file; scores, latency, data, parents and versions are beside them."""
    folder, result, _ = deployed
    evidence = json.loads((folder / "evidence.json").read_text(encoding="utf-8"))
    data = (folder / "model.onnx").read_bytes()
    assert evidence["sha256"] == hashlib.sha256(data).hexdigest() and evidence["bytes"] == len(data)
    scores = result["measured"][0]
    assert scores["accuracy"] == 900 / 990
    for name, value in evidence["accuracy"].items():
        assert value == scores[name]
    assert {"accuracy", "accuracy_interval", "n", "split", "macro_f1"} <= evidence["accuracy"].keys()
    assert evidence["latency"] == result["latency"] and evidence["data"] == "blake2b:1234"
    assert evidence["parents"]["parent"]["id"] == "student" and evidence["versions"]["strop"]
    assert evidence["machine"]["processor"] and evidence["resizing"]["same_class"] == 988
    assert Evidence.model_validate(evidence).accuracy.n == 990
    assert evidence["files"]["model.onnx"] == {"bytes": len(data), "sha256": evidence["sha256"]}
    assert "predict.mjs" in evidence["files"] and not {"evidence.json", "run.json"} & evidence["files"].keys()


def test_the_lineage_is_in_the_evidence(deployed):
    """Every run that the file came from with its hash; one that was changed since, or is gone, is called that."""
    folder, *_ = deployed
    [parent] = json.loads((folder / "evidence.json").read_text(encoding="utf-8"))["lineage"]
    assert (parent["id"], parent["of"], parent["missing"]) == ("student", "student-export", True)  # it never ended
    run = runs.Run(folder)
    record = runs.Run(folder.parent / "student").record
    runs.write_json(folder.parent / "student" / "run.json", record | {"status": "complete"})
    [parent] = lineage(run)
    assert (parent["verb"], parent["changed"]) == ("train", False)
    (folder.parent / "student" / "model.safetensors").write_bytes(b"others")
    assert lineage(run)[0]["changed"]


def test_class_names_are_in_the_order_of_the_outputs(deployed):
    """classes.json is the list as the network has it, not sorted."""
    folder, *_ = deployed
    assert json.loads((folder / "classes.json").read_text(encoding="utf-8")) == CLASSES
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "classes.json", "data.json", "evidence.json", "model.onnx", "package.json", "predict.mjs",
        "predict.py", "run.json",
    ]  # fmt: skip


def test_the_page_has_the_numbers(deployed):
    """Accuracy with its interval, size, parameters, latency and hash, in the units of the screen."""
    folder, result, channels = deployed
    page = (folder / "README.md").read_text(encoding="utf-8")
    low, high = result["measured"][0]["accuracy_interval"]
    data = (folder / "model.onnx").read_bytes()
    for text in (
        "# student, exported by strop",
        "which of 10 classes",
        f"scaled to 32 x 32{', in grey' if channels == 1 else ''} |",
        "animals, 1,234 pictures, `blake2b:1234`",
        "988 of 990 pictures get the class",
        "90.91 % on 990 test pictures",
        f"({100 * low:.2f} to {100 * high:.2f}, Wilson 95%)",
        "| 74,986 |",
        "| 1,234,567 |",
        "L2, distilled",
        f"{len(data):,} bytes, `sha256:{hashlib.sha256(data).hexdigest()}`",
        "0.123 ms a picture (p50; p95 0.234)",
        '"été"',
        r'"a \"quoted\" one"',
    ):
        assert text in page, text


def draw(side, seed=0):
    """A smooth colour picture: stripes and blobs, as photographs have, not noise."""
    y, x = np.mgrid[0:side, 0:side] / side
    waves = [np.sin(2 * np.pi * (k * x + (3 - k) * y + seed / 7)) for k in (1, 2, 3)]
    return (127.5 + 120 * np.stack(waves, 2)).astype(np.uint8)


def run_the_client(folder, *pictures):
    """What predict.py says to pictures, in their order: (class, probability)."""
    names = [f"{number}.png" for number in range(len(pictures))]
    for name, pixels in zip(names, pictures, strict=True):
        Image.fromarray(pixels).save(folder / name)
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "predict.py", *names], cwd=folder, capture_output=True, text=True,
        encoding="utf-8", env={"PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[2] for row in rows] == names
    return [(row[0], float(row[1])) for row in rows]


def test_the_client_agrees_with_strop(deployed):
    """The file scales as strop does: the same class, and probabilities to 2 % where OpenCV rounds its weights."""
    folder, _, channels = deployed
    session = OnnxModel(folder / "model.onnx", threads=1)
    squares = np.indices((97, 97)).sum(0) // 3 % 2 * 255  # detail that smoothing filters would wash out
    pictures = [*(draw(side) for side in (32, 97, 20)), np.stack([squares.astype(np.uint8)] * 3, 2)]
    tolerances = [1e-6, 1e-6, 2e-2, 1e-6]
    answers = run_the_client(folder, *pictures)
    for pixels, (name, probability), tolerance in zip(pictures, answers, tolerances, strict=True):
        expected = session(to_channels_last(fit_square(pixels, 32, channels)[None]))[0]
        assert expected.max() > 0.3  # else the class would say little
        assert name == CLASSES[expected.argmax()]
        assert probability == pytest.approx(expected.max(), abs=tolerance)


def test_the_client_cuts_the_centre(deployed):
    """What lies outside the centre square of a wide picture is not looked at."""
    folder, *_ = deployed
    square = draw(32)
    wide = np.random.default_rng(0).integers(0, 256, (32, 60, 3), dtype=np.uint8)
    wide[:, 14:46] = square
    inside, alone = run_the_client(folder, wide, square)
    assert inside == alone


def test_the_client_is_fifteen_lines(deployed):
    """As promised, and of numpy, ONNX Runtime and Pillow only."""
    text = (deployed[0] / "predict.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) == 15
    imports = {line for line in text.splitlines() if line.startswith(("import", "from"))}
    assert imports == {"import json, pathlib, sys", "import numpy, onnxruntime", "from PIL import Image, ImageOps"}


def test_transparent_parts_lie_on_the_colour_of_training(deployed):
    """Both programs get the colour of the run: here white, as (255, 255, 255)."""
    folder, *_ = deployed
    assert '"RGBA", image.size, (255, 255, 255)' in (folder / "predict.py").read_text(encoding="utf-8")
    assert "BELOW = [255, 255, 255];" in (folder / "predict.mjs").read_text(encoding="utf-8")
