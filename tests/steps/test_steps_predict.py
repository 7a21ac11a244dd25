"""Predictions of a run and of its export: what is said, what is drawn, what is refused."""

import csv
import io
import json
import shutil

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from rich.cells import cell_len

from strop.printing import prediction_lines


@pytest.fixture
def predict(trained, strop_in):
    """Run `strop predict runs/small ...` in the folder of the trained run."""
    return lambda *words, run="runs/small": strop_in(trained, "predict", run, *words)


def test_predict_run_and_export_agree(predict, shapes):
    """The exported file says what the run says: the same class, the same probability to three digits."""
    both = [predict(shapes / "test", "--json", run=run) for run in ("runs/small", "runs/small-export")]
    of_run, of_file = (json.loads(outcome.out)["predictions"] for outcome in both)
    assert len(of_run) == 60
    assert [row["class"] for row in of_run] == [row["class"] for row in of_file]
    assert [row["probability"] for row in of_run] == pytest.approx([r["probability"] for r in of_file], abs=1e-3)


def test_predict_is_what_the_file_says(predict, trained, shapes):
    """Class and probability recomposed: uint8 pixels into model.onnx, largest of the probabilities."""
    session = onnxruntime.InferenceSession(trained / "runs" / "small-export" / "model.onnx")
    classes = json.loads((trained / "runs" / "small-export" / "classes.json").read_text())
    file = shapes / "test" / "slope" / "003.png"
    probabilities = session.run(None, {"images": np.asarray(Image.open(file).convert("RGB"))[None]})[0][0]
    [row] = json.loads(predict(file, "--json", run="runs/small-export").out)["predictions"]
    assert row["class"] == classes[int(probabilities.argmax())]
    assert row["probability"] == pytest.approx(float(probabilities.max()), abs=1e-5)


def test_predict_order_and_truth(predict, shapes):
    """Files come in the order given, a folder's sorted; truth is the name of the folder they lie in."""
    outcome = predict(shapes / "test" / "rows" / "001.png", shapes / "test" / "disc", "--json")
    rows = json.loads(outcome.out)["predictions"]
    assert [row["truth"] for row in rows] == ["rows"] + 15 * ["disc"]
    assert [row["path"][-7:] for row in rows] == ["001.png"] + [f"{n:03}.png" for n in range(15)]


def test_predict_truth_from_inside_the_folder(trained, strop_in, shapes):
    """`strop predict RUN 000.png` inside rows/ knows the truth as `rows/000.png` outside does."""
    outcome = strop_in(shapes / "test" / "rows", "predict", trained / "runs" / "small", "000.png", "--json")
    assert json.loads(outcome.out)["predictions"][0]["truth"] == "rows"


def test_predict_no_truth_elsewhere(predict, shapes, tmp_path):
    """A folder that is no class tells no truth, and then nothing is counted as right."""
    shutil.copy(shapes / "test" / "rows" / "000.png", tmp_path / "a.png")
    outcome = predict(tmp_path / "a.png")
    assert outcome.code == 0
    assert "right" not in outcome.out and "wrong" not in outcome.out


def test_predict_counts_right_ones(predict, shapes):
    """The last line counts the lines that say right."""
    *lines, last = predict(shapes / "test").out.splitlines()
    assert len(lines) == 60
    assert last == f"{sum(line.endswith('  right') for line in lines)} of 60 right"


def test_predict_passes_over_hidden_files(predict, shapes, tmp_path):
    """What macOS leaves behind (._a.png) and other files are no pictures."""
    for name in ("a.png", "._b.png", ".hidden/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(shapes / "test" / "rows" / "000.png", tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    rows = json.loads(predict(tmp_path, "--json").out)["predictions"]
    assert [row["path"] for row in rows] == [str(tmp_path / "a.png")]


def test_predict_grid_is_a_picture(predict, shapes, tmp_path):
    """The grid has room for all pictures, and it is not blank."""
    assert predict(shapes / "test" / "disc", "--grid", tmp_path / "grid.png").code == 0
    with Image.open(tmp_path / "grid.png") as image:
        assert image.format == "PNG"
        assert np.asarray(image.convert("L")).std() > 20


def test_predict_any_size_and_mode(predict, shapes, tmp_path):
    """Colour, palette and RGBA pictures of other sizes are cut, scaled and made grey; the class stays."""
    grey = Image.open(shapes / "test" / "disc" / "000.png")
    for name, image in {
        "big": grey.resize((200, 200)),
        "wide": Image.fromarray(np.pad(np.asarray(grey), ((0, 0), (9, 9)), mode="edge")),
        "colour": grey.convert("RGB"),
        "palette": grey.convert("P"),
        "alpha": grey.convert("RGBA"),
    }.items():
        image.save(tmp_path / f"{name}.png")
    rows = json.loads(predict(tmp_path, "--json").out)["predictions"]
    assert len(rows) == 5
    assert {row["class"] for row in rows} == {"disc"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "PATHS: is missing"),
        (("nope.png",), "nope.png: no such file or folder"),
        (("nope.png", "neither"), "2 problems"),
        (("PICTURE", "--grid", "grid.jpg"), "--grid grid.jpg: is drawn as PNG"),
        (("PICTURE", "--grid", "nowhere/grid.png"), "there is no folder nowhere"),
        (("PICTURE", "--gird", "grid.png"), "Did you mean '--grid'?"),
    ],
)
def test_predict_refuses(predict, shapes, words, said):
    """What can't work is refused with exit 2 and one sentence, before a picture is decoded."""
    file = str(shapes / "test" / "rows" / "000.png")
    outcome = predict(*(file if word == "PICTURE" else word for word in words))
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error: ") and said in outcome.err


def test_predict_overwrites_no_grid(predict, shapes, tmp_path):
    """A file that lies there already stays as it is."""
    (tmp_path / "grid.png").write_bytes(b"mine")
    outcome = predict(shapes / "test" / "rows" / "000.png", "--grid", tmp_path / "grid.png")
    assert outcome.code == 2 and "overwrites nothing" in outcome.err
    assert (tmp_path / "grid.png").read_bytes() == b"mine"


def test_predict_goes_on_past_broken_files(predict, shapes, tmp_path):
    """The others are answered as if it were not there; it is named, in place, and the exit code is 1 in each form."""
    folder = tmp_path / "disc"
    shutil.copytree(shapes / "test" / "disc", folder)
    alone = json.loads(predict(folder, "--json").out)["predictions"]
    whole = (folder / "000.png").read_bytes()
    (folder / "0005.png").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.jpg").write_text("no picture")
    outcomes = [predict(folder, *words) for words in (("--json",), ("--format", "csv"), ())]
    for outcome in outcomes:
        assert outcome.code == 1 and outcome.err.startswith("error: 2 of 17 pictures can't be read")
        assert "0005.png: can't be decoded" in outcome.err and "notes.jpg: can't be decoded (it is text)" in outcome.err
    rows = json.loads(outcomes[0].out)["predictions"]
    assert [row for row in rows if "error" not in row] == alone
    assert [i for i, row in enumerate(rows) if "error" in row] == [1, 16]
    lines = list(csv.DictReader(io.StringIO(outcomes[1].out)))
    assert [line["error"] for line in lines] == [row.get("error", "") for row in rows]
    assert (lines[1]["class"], lines[1]["truth"]) == ("", "disc")
    assert predict(folder, "--grid", tmp_path / "grid.png").code == 1 and (tmp_path / "grid.png").is_file()


def test_predict_refuses_what_has_no_picture_at_all(predict, tmp_path):
    """Then nothing was run: exit 2, with all names."""
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_text("no picture")
    outcome = predict(tmp_path)
    assert (outcome.code, outcome.out) == (2, "") and outcome.err.count("can't be decoded (it is text)") == 2


def test_predict_truth_from_the_nearest_class_folder(predict, shapes, tmp_path):
    """As training reads class/anything/x.png; of folders above the one that was named only that one itself counts."""
    lies = tmp_path / "rows" / "all" / "disc" / "2024" / "may"
    lies.mkdir(parents=True)
    shutil.copy(shapes / "test" / "disc" / "000.png", lies / "x.png")

    def truth(word):
        return json.loads(predict(word, "--json").out)["predictions"][0].get("truth")

    assert [truth(place) for place in (tmp_path, tmp_path / "rows", lies.parents[1])] == 3 * ["disc"]
    assert truth(lies.parents[0]) is None and truth(lies / "x.png") is None
    assert truth(tmp_path / "rows" / "**" / "x.png") == "disc"
    (lies / "x.png").rename(tmp_path / "rows" / "all" / "x.png")
    assert truth(tmp_path) == "rows" and truth(tmp_path / "rows" / "all") is None


@pytest.mark.parametrize("width", [80, 60, 40])
def test_predicted_lines_fit(width):
    """Columns as terminals count them (a Chinese letter takes two); the end of a path stays."""
    paths = ["a.png", "photos/" + 90 * "long" + "/007.png", "照片/" + 40 * "鸟" + "七.png"]
    rows = [
        {
            "path": path,
            "class": name,
            "probability": 0.5,
            "truth": "bird",
            "top": [{"class": name, "probability": 0.5}] * 2,
        }
        for path in paths
        for name in ("bird", "a class with a long name, as some collections have them")
    ]
    lines = prediction_lines(rows, width)
    assert max(map(cell_len, lines)) == width
    assert len(lines) == 2 * len(rows) + 1 and lines[-1] == "3 of 6 right"
    if width == 40:
        return  # only the last letters of a path have room
    assert "/007.png" in lines[4] and lines[4].startswith("bird ") and lines[4].endswith("right")
    assert "七.png" in lines[8] and "wrong: bird" in lines[2]


def test_predict_empty_folder(predict, tmp_path):
    """A folder without pictures is named, with the endings that count."""
    outcome = predict(tmp_path)
    assert outcome.code == 2 and "no pictures in this folder" in outcome.err and "png" in outcome.err


def test_predict_needs_a_model(trained, strop_in, tmp_path, shapes):
    """A folder that strop did not make is no model."""
    outcome = strop_in(trained, "predict", tmp_path, shapes)
    assert outcome.code == 2 and "is not a run folder" in outcome.err
