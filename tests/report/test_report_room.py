"""The weight of a page is bounded, and what is left out is said in the page."""

import json
import re

import pytest
from PIL import Image

from strop.report import room
from strop.report.models import read_models
from strop.report.page import write_page
from strop.report.room import Part, furnish, without
from strop.report.rows import collect
from strop.report.verdict import judge

LAYER = {"n": 36, "histogram": {"from": -1.0, "to": 1.0, "counts": [6, 12, 12, 6]}}
CLASSES = [f"class {number}" for number in range(30)]


@pytest.fixture
def paths(folders):
    """Six models of 30 classes with 100 kB of pictures and 20 layers each; the last is the best and the smallest."""
    found = []
    for number in range(6):
        name = f"net-{number}"
        path = folders.model(name, accuracy=0.7 + 0.04 * number, classes=CLASSES, parameters=2_000_000 - number)
        layers = [LAYER | {"name": f"layer{i}"} for i in range(20)]
        (path / "weights.json").write_text(json.dumps({"runs": {name: layers}}))
        look = folders.evaluate(f"{name}-look", name, 0.7 + 0.04 * number, classes=CLASSES)
        result = json.loads((look / "result.json").read_text())
        error = {"name": f"{name}.png", "true": "class 0", "predicted": "class 1", "confidence": 0.9}
        result["explained"] = {"split": "test", "errors": [error], "files": ["errors.png"]}
        (look / "result.json").write_text(json.dumps(result))
        Image.effect_noise((310, 310), 60).save(look / "errors.png")
        found.append(path)
    return found


def page_of(paths, tmp_path):
    rows, notes = collect(paths)
    write_page(rows, notes, tmp_path / "page.html", title="Page")
    return (tmp_path / "page.html").read_text(encoding="utf-8")


def test_where_there_is_room_everything_is_shown(paths, tmp_path):
    page = page_of(paths, tmp_path)
    assert "Left out here" not in page and "Every figure is in the JSON inside this page" in page
    assert page.count("data:image/png") == page.count("The worst errors</figcaption>") == 6


def test_a_page_is_bounded_and_says_what_it_left_out(paths, tmp_path, monkeypatch):
    """The model to ship keeps all; of the others the largest parts go first, pictures before words, counts with their
    figures in the JSON. What stays in words is still there."""
    whole = page_of(paths, tmp_path)
    monkeypatch.setattr(room, "ROOM", 400_000)
    monkeypatch.setattr(room, "FIRST", 300_000)
    page = page_of(paths, tmp_path)
    fixed = len(whole) - sum(len(fold) for fold in re.findall(r'<details class="model".*?</details>\n?', whole, re.S))
    assert len(page) < len(whole) - 500_000 and len(page) < fixed + 400_000
    assert "parts of 5 of 6 models are left out; each says which at its end" in page
    folds = page.split('<details class="model"')[1:]
    assert ["Left out here" in fold for fold in folds] == [True] * 5 + [False]
    assert [fold.count("data:image/png") for fold in folds] == [0] * 5 + [1]
    assert all(f"net-{i}.png: class 0 taken for class 1" in fold for i, fold in enumerate(folds))
    assert re.search(r"Left out here: pictures of errors, .*<code>strop report \S+net-0</code> shows all\.", folds[0])
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])
    assert len(data["rows"][5]["measured"]["confusion"]) == 30 and "confusion" not in data["rows"][0]["measured"]
    assert data["rows"][0]["measured"]["accuracy"] == pytest.approx(0.7)
    assert "Every figure is in the JSON" not in page and "The figures of all parts that are shown are in the" in page


def test_the_largest_part_goes_first_and_then_its_short_form(folders, monkeypatch):
    """Room for 100: of parts of 90, 60 and 20 bytes the first becomes 30, then nothing; the rest fits in 80."""
    models = read_models(collect([folders.model("net")]).rows)
    parts = [
        Part(lambda _: "a" * 90, "a", ("m.x",), lambda _: "A" * 30),
        Part(lambda _: "b" * 60, "b"),
        Part(lambda _: "c" * 20, "c"),
    ]
    figures = [{"m": {"x": [1, 2], "y": 1.5}, "id": "net"}]

    def fitted(most):
        monkeypatch.setattr(room, "ROOM", most)
        return furnish(models, figures, parts, None)[0]

    assert fitted(176) == ("a" * 90 + "b" * 60 + "c" * 20, [], [])
    assert fitted(175) == ("A" * 30 + "b" * 60 + "c" * 20, ["a"], ["m.x"])
    assert fitted(100) == ("A" * 30 + "c" * 20, ["a", "b"], ["m.x"])
    assert fitted(0) == ("", ["a", "b", "c"], ["m.x"])
    assert without(figures[0], ["m.x"]) == {"m": {"y": 1.5}, "id": "net"} and figures[0]["m"]["x"] == [1, 2]


def test_what_one_model_leaves_is_for_the_others(folders, monkeypatch):
    """200 bytes for four models are 50 each; three small ones leave room for one of 140."""
    models = read_models(collect([folders.model(f"net-{i}") for i in range(4)]).rows)
    part = Part(lambda model: "x" * (140 if model.number == 3 else 20), "x")
    monkeypatch.setattr(room, "ROOM", 200)
    assert [len(inside.html) for inside in furnish(models, [{}] * 4, [part], None)] == [20, 20, 20, 140]
    assert judge([model.row for model in models]).pick is models[0].row
    part = Part(lambda model: "x" * (140 if model.number == 0 else 20), "x")
    assert [len(inside.html) for inside in furnish(models, [{}] * 4, [part], models[0].row)] == [140, 20, 20, 20]
