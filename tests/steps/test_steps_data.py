"""Pictures as people have them: broken, mixed, oddly named, changed after training."""

import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from strop.data import open_data
from strop.steps.data import word_pictures

LIGHT = ("--epochs", 1, "--batch-size", 16, "--lr", 0.01, "--validation", "20%")
FAST = ("--model", "cnn3", *LIGHT)


def write_class(folder, pictures):
    folder.mkdir(parents=True)
    for number, image in enumerate(pictures):
        Image.fromarray(image).save(folder / f"{number}.png")


@pytest.fixture
def two_classes(tmp_path, picture):
    """A folder `data` with eight grey pictures each of rows/ and disc/."""
    for kind in ("rows", "disc"):
        write_class(tmp_path / "data" / kind, [picture(kind, seed) for seed in range(8)])
    return tmp_path / "data"


def files_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) if folder.exists() else []


def test_data_truncated_jpeg(strop, two_classes, picture, tmp_path):
    """A JPEG that breaks off can only be found by decoding; still it is named and no run folder stays behind."""
    Image.fromarray(picture("rows", 9)).save(two_classes / "rows" / "cut.jpg", quality=95)
    data = (two_classes / "rows" / "cut.jpg").read_bytes()
    (two_classes / "rows" / "cut.jpg").write_bytes(data[: len(data) * 2 // 3])
    outcome = strop("train", "data", *FAST)
    assert outcome.code == 2
    assert "'rows/cut.jpg' can't be decoded" in outcome.err and "Replace or remove" in outcome.err
    assert files_below(tmp_path / "runs") == []


def test_data_corrected_set_gets_the_name(strop, two_classes, tmp_path):
    """After a broken picture is taken out the same command writes runs/cnn3, not runs/cnn3-2."""
    whole = (two_classes / "rows" / "0.png").read_bytes()
    (two_classes / "rows" / "cut.png").write_bytes(whole[: len(whole) // 2])
    assert strop("train", "data", *FAST).code == 2
    (two_classes / "rows" / "cut.png").unlink()
    assert strop("train", "data", *FAST).code == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["cnn3"]


def test_data_grey_set_trains_on_one_channel(strop, two_classes, tmp_path, read):
    """All pictures grey and 24 x 24: the network takes (1, 24, 24)."""
    assert strop("train", "data", *FAST).code == 0
    assert read(tmp_path / "runs" / "cnn3", "result.json")["model"]["input_size"] == [1, 24, 24]


def test_data_colour_rgba_and_big_pictures(strop, two_classes, tmp_path, picture, read):
    """One colour picture makes three channels; RGBA and one big picture train with the rest at --input-size."""
    grey = picture("rows", 20)
    Image.fromarray(np.dstack([grey, grey // 2, grey])).save(two_classes / "rows" / "colour.png")
    Image.fromarray(np.dstack([grey, grey, grey, np.full_like(grey, 128)])).save(two_classes / "rows" / "alpha.png")
    Image.fromarray(picture("disc", 21, 150)).save(two_classes / "disc" / "big.png")
    assert strop("train", "data", *FAST, "--input-size", 16).code == 0
    run = tmp_path / "runs" / "cnn3"
    assert read(run, "result.json")["model"]["input_size"] == [3, 16, 16]
    assert sum(sum(counts.values()) for counts in read(run, "data.json")["counts"].values()) == 19


ODD_NAMES = ("two words", "猫", "<img src=x onerror=alert(1)>", "a&b", "$x_1$ %s {0}")


class Tags(HTMLParser):
    """The tags of a page that carry an event handler, and all of its text."""

    def __init__(self):
        super().__init__()
        self.handlers, self.text = [], []

    def handle_starttag(self, tag, attributes):
        self.handlers += [(tag, name) for name, _ in attributes if name.startswith("on")]

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.filterwarnings("ignore:No installed font")  # a machine without Chinese glyphs says so, rightly
def test_data_odd_class_names(strop, tmp_path, picture, read, recwarn):
    """Spaces, Chinese, HTML, ampersands and TeX come through training, export, report and pictures as they are."""
    kinds = ("rows", "columns", "disc", "slope", "rows")
    for number, (name, kind) in enumerate(zip(ODD_NAMES, kinds, strict=True)):
        write_class(tmp_path / "data" / name, [picture(kind, 10 * number + seed) for seed in range(6)])
    for words in (("train", "data", *FAST), ("export", "runs/cnn3")):
        outcome = strop(*words)
        assert outcome.code == 0, outcome.err
    run = tmp_path / "runs" / "cnn3"
    assert read(run, "data.json")["classes"] == sorted(ODD_NAMES)
    assert read(tmp_path / "runs" / "cnn3-export", "classes.json") == sorted(ODD_NAMES)
    page = Tags()
    page.feed((run / "report.html").read_text(encoding="utf-8"))
    assert page.handlers == []
    assert all(any(name in text for text in page.text) for name in ODD_NAMES)
    assert [str(warning.message) for warning in recwarn if "Glyph" in str(warning.message)] == []
    grid = strop("predict", "runs/cnn3", "data/猫", "--grid", "grid.png")
    assert grid.code == 0 and "猫" in grid.out
    for file in (run / "confusion_matrix.png", run / "train_details.png", tmp_path / "grid.png"):
        with Image.open(file) as image:
            assert image.format == "PNG"


@pytest.fixture
def copied(tmp_path, trained, shapes, strop):
    """A trained run whose data folder the test may change: `data` and runs/small."""
    for split, count in (("train", 8), ("test", 2)):
        for kind in ("rows", "disc"):
            (tmp_path / "data" / split / kind).mkdir(parents=True)
            for number in range(count):
                shutil.copy(shapes / split / kind / f"{number:03}.png", tmp_path / "data" / split / kind)
    assert strop("train", "data", *FAST, "--id", "small").code == 0
    return tmp_path


@pytest.mark.parametrize("words", [("prune", "runs/small", "--params", "50%"), ("quantize", "runs/small")])
def test_data_added_picture_is_named(strop, copied, words):
    """A picture that was added after training would move the split: refused with both counts, nothing written."""
    shutil.copy(copied / "data/train/rows/000.png", copied / "data/train/rows/new.png")
    outcome = strop(*words)
    assert outcome.code == 2
    assert "not the data set that 'small' was made with" in outcome.err
    assert "'train': 12" in outcome.err and "'train': 13" in outcome.err
    assert [path.name for path in (copied / "runs").iterdir()] == ["small"]


def test_data_swapped_picture_is_named(strop, copied, picture):
    """Equal counts don't hide another content."""
    Image.fromarray(picture("rows", 99)).save(copied / "data/train/rows/000.png")
    outcome = strop("export", "runs/small")
    assert outcome.code == 2 and "contents are not" in outcome.err


def test_data_gone(strop, copied):
    """A folder that was moved away is named; the run stays readable."""
    (copied / "data").rename(copied / "moved")
    outcome = strop("evaluate", "runs/small")
    assert outcome.code == 2 and str(copied / "data") in outcome.err
    assert strop("predict", "runs/small", "moved/test/rows").code == 0


def test_data_evaluate_on_another_folder(strop, copied, picture, read):
    """`evaluate RUN DATA` counts the pictures of DATA; three of four right is 0.75 in result.json."""
    pictures = {"rows": [("rows", 30), ("rows", 31), ("disc", 32)], "disc": [("disc", 33)]}
    for kind, drawn in pictures.items():
        write_class(copied / "other" / "train" / kind, [picture(kind, 40 + n) for n in range(3)])
        write_class(copied / "other" / "test" / kind, [picture(shape, seed) for shape, seed in drawn])
    assert strop("evaluate", "runs/small", "other", "--split", "test").code == 0
    scores, last = read(copied / "runs" / "small-on-test", "result.json")["measured"]
    said = strop("predict", "runs/small", "other/test").out.splitlines()[-1]
    assert scores["n"] == last["n"] == 4 and (scores["checkpoint"], last["checkpoint"]) == ("best", "last")
    assert said == f"{round(4 * scores['accuracy'])} of 4 right"
    assert [row["support"] for row in scores["per_class"]] == [1, 3]
    assert scores["data"] != read(copied / "runs" / "small", "data.json")["fingerprint"]


@pytest.mark.parametrize(("extra", "said"), [("cats", "unknown: cats"), (None, "missing: disc")])
def test_data_evaluate_refuses_other_classes(strop, copied, picture, extra, said):
    """Another class list is refused with what is missing or unknown in it."""
    for kind in ("rows", "disc", extra) if extra else ("rows", "columns"):
        write_class(copied / "other" / "test" / kind, [picture("rows")])
        write_class(copied / "other" / "train" / kind, [picture("rows", seed) for seed in range(2)])
    outcome = strop("evaluate", "runs/small", "other", "--split", "test")
    assert outcome.code == 2 and said in outcome.err
    assert [path.name for path in (copied / "runs").iterdir()] == ["small"]


def test_data_written_otherwise_is_the_same_work(strop, copied):
    """data, data/ and the absolute path are one data set: the second command finds the first one's run."""
    for written in ("data/", "./data", copied / "data"):
        outcome = strop("train", written, *FAST, "--id", "small")
        assert outcome.code == 0 and "already done" in outcome.out
    assert [path.name for path in (copied / "runs").iterdir()] == ["small"]


def test_data_no_pictures_of_the_split(strop, two_classes):
    """Without a test folder `--split test` is refused, with what there is."""
    assert strop("train", "data", *FAST).code == 0
    outcome = strop("evaluate", "runs/cnn3", "--split", "test")
    assert outcome.code == 2 and "has no test pictures. It has: train, val" in outcome.err


def test_data_too_small_for_the_network(strop, two_classes, tmp_path):
    """An input size that a network can't take is refused with the smallest that it can, and nothing is written."""
    outcome = strop("train", "data", *LIGHT, "--model", "cnn5", "--input-size", 16)
    assert outcome.code == 2 and "Write 32 or more" in outcome.err
    assert files_below(tmp_path / "runs") == []


def test_the_counts_that_a_training_begins_with(shapes):
    """60 pictures of each of four classes to divide, 15 of each to test with; splits that are empty are said too."""
    data = open_data(str(shapes), validation="20%")
    assert word_pictures(data) == "4 classes; 192 training, 48 validation and 60 test pictures"
    data = open_data(str(shapes / "train"), validation="0%")
    assert word_pictures(data) == "4 classes; 240 training, no validation and no test pictures"
