"""What the page says of one model and of the runs' history; each section is silent where its fields are not there."""

import json
from html import escape
from html.parser import HTMLParser

import pytest
from PIL import Image

from strop.errors import UserError
from strop.report.embedding import MOST_BYTES, embed_picture
from strop.report.models import read_models
from strop.report.page import write_page
from strop.report.plots import write_plots
from strop.report.rows import collect
from strop.report.sections.commands import commands
from strop.report.sections.compression import pruning, quantization
from strop.report.sections.data import data
from strop.report.sections.evaluations import abstaining, outliers, robustness
from strop.report.sections.explained import explained
from strop.report.sections.lineage import lineage
from strop.report.sections.looks import looks
from strop.report.sections.measured import measured
from strop.report.sections.reliability import reliability
from strop.report.sections.weights import weights

HOSTILE = '"><img src=x onerror=alert(1)></script>'
BINS = [
    {"from": 0.0, "to": 0.5, "n": 100, "confidence": 0.4, "accuracy": 0.5},
    {"from": 0.5, "to": 1.0, "n": 400, "confidence": 0.9, "accuracy": 0.8},
]
LAYER = {"name": HOSTILE, "shape": [4, 9], "n": 36, "mean": 0.0, "sd": 0.5, "zeros": 0.25,
         "histogram": {"from": -1.0, "to": 1.0, "counts": [6, 12, 12, 6]}}  # fmt: skip
EXPLAINED = {"split": "val", "errors": [{"name": HOSTILE, "true": "bag", "predicted": "boot", "confidence": 0.99}],
             "doubts": [{"name": HOSTILE, "true": "boot", "likely": "bag", "margin": 4.2}], "cam": {"layer": HOSTILE},
             "confused": [], "files": ["errors.png", "../errors.png", "cam.png"]}  # fmt: skip
ROBUSTNESS = {"split": "val", "n": 500, "accuracy": 0.875, "corrupted_accuracy": 0.71, "flips": [], "corruptions": [
    {"corruption": HOSTILE, "strength": 1, "accuracy": 0.85}, {"corruption": HOSTILE, "strength": 5, "accuracy": 0.55}],
    "sizes": [{"size": 160, "accuracy": 0.86}]}  # fmt: skip
PRUNING = {"budget": "9%", "kind": "params", "before": 1000, "after": 90, "criterion": HOSTILE, "scope": "local",
           "widths": {HOSTILE: [64, 16]}, "accuracy_before_fine_tuning": 0.31,
           "sensitivity": [{"group": HOSTILE, "width": 64, "kept": 32, "ratio": 0.5, "n": 500, "loss_rise": 0.2,
                            "accuracy_drop": 0.07}],
           "controls": {"scratch": {"accuracy": 0.903, "difference": 0.012, "interval": [0.004, 0.02], "p": 0.0004,
                                    "verdict": "better"}}}  # fmt: skip
QUANTIZATION = {"scheme": "w4", "calibrator": "minmax", "images": 512, "agreement": 0.97, "accuracy_drop": 0.004,
                "note": HOSTILE, "equalize": False, "bias_correction": True, "max_drop": 0.005,
                "kept": {"int8": [HOSTILE]},
                "sensitivity": [{"layer": HOSTILE, "bits": 4, "n": 500, "loss_rise": -0.01, "accuracy_drop": 0.0}],
                "layers": [{"layer": HOSTILE, "weights": 100, "sparsity": 0.02, "bits": 3, "stored_bits": 4,
                            "bytes_before": 400, "bytes_after": 100, "ratio": 4.0}]}  # fmt: skip
ABSTAINING = {"chosen_on": HOSTILE, "thresholds": [
    {"aim": 0.9, "threshold": 0.55, "n": 450, "coverage": 0.9, "accuracy": 0.93}],
    "conformal": [{"method": HOSTILE, "aim": 0.9, "coverage": 0.91, "mean_size": 1.2}]}  # fmt: skip
OUTLIERS = {"data": HOSTILE, "n": 500, "n_outliers": 100,
            "scores": [{"score": HOSTILE, "auroc": 0.93, "fpr_at_95_tpr": 0.31}]}  # fmt: skip
DATA = {"source": HOSTILE, "location": None, "fingerprint": "blake2b:f", "classes": ["a", "b"],
        "counts": {"train": {"a": 600, "b": 610}, "val": {"a": 30, "b": 30}, "test": {}},
        "validation": {"rule": "5% of train", "names": ["a/1.png"]}, "unreadable": {HOSTILE: "can't be decoded"},
        "audit": {"quick": True, "findings": [{"severity": "warning", "sentence": f"3 pictures {HOSTILE}"}]},
        }  # fmt: skip


@pytest.fixture
def rich(folders):
    """A pruned model with every field, beside a plain parent."""
    folders.model("parent")
    entry = folders.measure(0.874, file="model.safetensors", file_hash="sha256:0") | {
        "reliability": BINS, "ece": 0.1, "temperature": 1.3, "calibrated": {"ece": 0.02, "reliability": BINS},
        "abstaining": ABSTAINING, "test_set": "blake2b:t", "looks": 2,
    }  # fmt: skip
    path = folders.model(
        "child", "prune", measured=[entry], parents={"parent": "parent"}, pruning=PRUNING, quantization=QUANTIZATION
    )
    for run, layer in (("parent", LAYER | {"n": 72}), ("child", LAYER)):
        text = json.dumps({"runs": {run: [layer]}, "notes": []})
        (folders.root / run / "weights.json").write_text(text)
    (path / "data.json").write_text(json.dumps(DATA))
    look = folders.evaluate("look", "child", 0.874)
    result = json.loads((look / "result.json").read_text())
    result |= {"explained": EXPLAINED, "robustness": ROBUSTNESS, "outliers": OUTLIERS}
    (look / "result.json").write_text(json.dumps(result))
    for name in ("errors.png", "cam.png"):
        Image.new("RGB", (40, 30), "red").save(look / name)
    looked = [{"run": HOSTILE, "verb": "evaluate", "started": "2026-11-22"}, {"run": "look", "verb": "evaluate"}]
    (folders.root / "looks.json").write_text(json.dumps({"format": 1, "test_sets": {"blake2b:t": looked}}))
    return folders, path


def model_of(path):
    return read_models(collect([path]).rows)[0]


class Markup(HTMLParser):
    """Tags, attributes, headings and exact figures of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.headings, self.figures = set(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append(int(tag[1]))
        if tag == "data":
            self.figures.append(json.loads(dict(attrs)["value"]))


def page_of(paths, tmp_path):
    rows, notes = collect(paths)
    write_page(rows, notes, tmp_path / "page.html", title="Report")
    return (tmp_path / "page.html").read_text(encoding="utf-8")


def numbers(value):
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from numbers(one)
    elif isinstance(value, int | float):
        yield value


def test_every_figure_is_that_of_a_file_to_the_last_digit(rich, tmp_path):
    """Over 100 figures stand behind what people read; each is a number of some result.json, digit by digit."""
    folders, path = rich
    found = Markup(page_of([folders.root / "parent", path], tmp_path)).figures
    known = {repr(n) for file in folders.root.glob("*/result.json") for n in numbers(json.loads(file.read_text()))}
    assert len(found) > 100
    assert [figure for figure in found if repr(figure) not in known] == []


def test_hostile_texts_of_every_file_stay_text(rich, tmp_path):
    """Layers, data, findings, looks, errors and corruptions: no tag, no attribute, no script comes of a name."""
    folders, path = rich
    page = page_of([folders.root / "parent", path], tmp_path)
    found = Markup(page)
    assert not found.tags & {"iframe", "object", "embed", "form", "base", "link", "a"}
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in ("style", "href")]
    sources = [value for name, value in found.attributes if name == "src"]
    assert len(sources) == 2 and all(value.startswith("data:image/png;base64,") for value in sources)
    assert page.count("</script>") == 3


def test_headings_are_in_order(rich, tmp_path):
    """One h1, and no level is skipped on the way down."""
    folders, path = rich
    levels = Markup(page_of([folders.root / "parent", path], tmp_path)).headings
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))


def test_pictures_have_texts_for_those_who_do_not_see_them(rich, tmp_path):
    """An alt for each picture, a name for each canvas and each scrolling box."""
    page = page_of([rich[1]], tmp_path)
    for tag in ("img", "canvas", 'div class="scroll"', 'div class="scroll flat"'):
        for start in page.split(f"<{tag} ")[1:]:
            assert 'alt="' in start.split(">")[0] or 'aria-label="' in start.split(">")[0], tag


def test_sections_without_fields_are_silent(folders):
    """A plain training shows no empty headings."""
    model = model_of(folders.model("net"))
    silent = (abstaining, outliers, robustness, explained, pruning, quantization, weights, reliability)
    assert [part(model) for part in silent] == [""] * len(silent)
    assert data([model]) == "" and looks([model.row]) == ""


def test_weights_are_laid_over_those_of_the_parent(rich):
    """36 of the parent's 72 weights, one filled area, one line; a parent that has changed since is left out."""
    folders, path = rich
    text = weights(model_of(path))
    assert "36 of 72 weights" in text and text.count('class="now"') == text.count('class="before"') == 1
    result = json.loads((folders.root / "parent" / "result.json").read_text())
    result["model"]["hash"] = "sha256:other"
    (folders.root / "parent" / "result.json").write_text(json.dumps(result))
    assert 'class="before"' not in weights(model_of(path))


def test_pruning_and_quantization_say_what_each_layer_costs(rich):
    """16 of 64 channels are 25 %; 0.012 is 1.2 points; what was kept says so."""
    model = model_of(rich[1])
    text = pruning(model)
    assert "25</td>" in text and "1,000 to 90" in text
    assert "Against trained from scratch (90.3 %) it is better: +1.2 points [+0.4, +2.0], p = 0.000." in text
    assert "4 bits; kept in int8" in quantization(model) and "-0.010" in quantization(model)
    assert "32 of 64 channels gone" in text and "3 in 4" in quantization(model)


def test_what_was_trained_while_rounding_is_not_called_calibrated(rich):
    """The accuracies in torch, of the file and of the control stand beside each other; what saves no time says so."""
    model = model_of(rich[1])
    calibrated = quantization(model)
    assert "w4, calibrated by minmax" in calibrated and "<dd>biases corrected</dd>" in calibrated
    assert "0.50 points, so bits differ" in calibrated and f"<p>{escape(HOSTILE)}</p>" in calibrated
    figures = {
        name: {"accuracy": 0.8 + number / 100} for number, name in enumerate(("float", "fake_quantized", "file"))
    }
    more = {"calibrator": "learned", "epochs": 3, "control": {"accuracy": 0.853}, **figures}
    trained = quantization(model._replace(result={"quantization": QUANTIZATION | more}))
    assert "w4, 3 epochs of training with it" in trained and "calibrated" not in trained
    for term, figure in (("float parent", 80), ("rounding in torch", 81), ("ONNX Runtime", 82), ("as long", 85.3)):
        assert f"{term}</dt><dd>{figure:.2f} %" in trained


def test_corruptions_are_averaged_over_their_strengths(rich):
    """(0.85 + 0.55) / 2 = 70 %: no figure of a file, so none stands behind it."""
    text = robustness(model_of(rich[1]))
    assert '<span class="mean">70.0</span>' in text and "strength 5" in text


def test_only_pictures_of_the_folder_are_embedded(rich):
    """A name with a path in it, which only a changed file has, is no picture."""
    assert explained(model_of(rich[1])).count("<img ") == 2


def test_splits_stand_side_by_side_with_their_gap(folders):
    """0.95 on training pictures against 0.87 on test pictures: +8 points, train first."""
    bound = {"file": "model.safetensors", "file_hash": "sha256:0"}
    entries = [folders.measure(0.87, **bound), folders.measure(0.95, split="train", **bound)]
    text = measured(model_of(folders.model("net", measured=entries)))
    assert "Training pictures against test pictures: +8.0 points." in text
    assert text.index(">train<") < text.index(">test<")


def test_data_say_what_was_found_and_left_out(rich):
    """1,210 pictures, 600 to 610 a class; findings with their severity; the unreadable one by name."""
    text = data([model_of(rich[1])])
    assert "1,210 pictures, 600 to 610 a class" in text and "60 pictures, 30 of each class; 5% of train" in text
    assert "warning: 3 pictures" in text and "1 picture can&#x27;t be read" in text


def test_whole_audit_beside_the_runs_goes_before_the_quick_one(rich):
    """Same source and place: its findings are shown; of another place they are not."""
    folders, path = rich
    for location, shown in ((None, True), ("/elsewhere", False)):
        (folders.root / "x-audit").mkdir(exist_ok=True)
        audit = {"quick": False, "source": HOSTILE, "location": location, "findings": []}
        (folders.root / "x-audit" / "audit.json").write_text(json.dumps(audit))
        assert ("The audit found nothing wrong." in data([model_of(path)])) is shown


def test_looks_are_counted_and_listed(rich):
    """Two entries of looks.json, with the warning; who looked stands below."""
    text = looks([model_of(rich[1]).row])
    assert "looked at 2 times" in text and "evaluate look" in text


def test_commands_are_complete_and_in_order(folders):
    """Of one pruned row: its teacher, parent, export and bench too, as they were given, each once."""
    folders.model("teacher")
    folders.model("student", parents={"teacher": "teacher"})
    path = folders.model("small", "prune", parents={"parent": "student", "teacher": "teacher"})
    folders.export("small-onnx", "small")
    folders.bench("bench", {"small-onnx": 1.0})
    text = commands(collect([path]).rows).partition("</pre>")[0].removeprefix('<pre tabindex="0">')
    verbs = ["train teacher", "train student", "prune small", "export small-onnx", "bench bench"]
    assert [line.removeprefix("strop ") for line in text.splitlines()[:-2]] == verbs
    assert text.splitlines()[-2].startswith("strop verify ") and text.splitlines()[-2].endswith("/small-onnx")
    assert text.splitlines()[-1].startswith("strop report ")


def test_lineage_is_a_tree_and_a_circle_ends(family, folders):
    """small below student, its int8 below it; runs that are each other's parents are still shown, once."""
    _, paths = family
    text = lineage(collect(paths).rows)
    assert text.index("<b>student</b>") < text.index("<b>small</b>") < text.index("<b>small-int8</b>")
    assert "prune from student, taught by teacher; -1.2 points; 11 times smaller" in text
    rows = collect([folders.model("a"), folders.model("b", parents={"parent": "a"})]).rows
    rows[0].parents["parent"] = {"id": "b", "hash": rows[1].hash}
    assert lineage(rows).count("<b>") == 2


def test_plots_are_written_and_only_own_ones_replaced(rich, tmp_path):
    """A PNG of each plot, drawn again over itself; a file of the same name that strop did not draw is refused."""
    models = [model_of(rich[1])._replace(metrics=[])]
    drawn = write_plots(models, tmp_path / "plots")
    names = {file.name for file in drawn}
    assert {"child-confusion.png", "child-classes.png", "child-reliability.png", "child-weights.png"} <= names
    assert {file.name for file in (tmp_path / "plots").iterdir()} == names
    Image.new("RGB", (4, 4)).save(tmp_path / "plots" / "child-classes.png")
    with pytest.raises(UserError, match="strop did not draw it"):
        write_plots(models, tmp_path / "plots")


def test_pictures_in_the_page_are_small(tmp_path):
    """As it is below 400 kB; noise of 1.2 MB comes as a smaller JPEG; what is no picture does not come."""
    import numpy as np

    Image.new("RGB", (40, 30), "red").save(tmp_path / "small.png")
    assert embed_picture(tmp_path / "small.png").startswith("data:image/png;base64,")
    noise = np.random.default_rng(0).integers(0, 256, (640, 640, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    assert (tmp_path / "large.png").stat().st_size > 1_000_000
    found = embed_picture(tmp_path / "large.png")
    assert found.startswith("data:image/jpeg;base64,") and len(found) < 1.4 * MOST_BYTES
    (tmp_path / "none.png").write_text("<script>")
    assert embed_picture(tmp_path / "none.png") is None and embed_picture(tmp_path / "away.png") is None


def test_thousands_of_classes_leave_a_page_of_bounded_weight(folders, tmp_path):
    """401 x 401 counts stay in result.json; the page says so and keeps below 1.5 MB."""
    path = folders.model("net", classes=[f"class {n}" for n in range(401)])
    page = page_of([path], tmp_path)
    assert "All 401 x 401 counts are in result.json." in page and len(page) < 1_500_000
