"""`strop run --smoke`: every step of every recipe runs; what was changed is said; nothing of the user's is touched."""

import json
from pathlib import Path

import pytest

from strop.recipe import Recipe
from strop.recipe.smoke import MOST_PARAMETERS, make_smoke

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.slow
@pytest.mark.parametrize("file", sorted(RECIPES.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_recipe_runs(file, strop, tmp_path):
    """All of its steps leave a finished folder; the table at the end has a row for each model."""
    outcome = strop("run", file, "--smoke", "--out", "small", "--json")
    assert outcome.code == 0, outcome.err[-2000:]
    assert "a smoke run: every step, made small; its figures mean nothing" in outcome.err
    steps = Recipe.load(file).steps
    done = {step.id: json.loads((tmp_path / "small" / step.id / "run.json").read_text()) for step in steps}
    assert {record["status"] for record in done.values()} == {"complete"}
    assert [record["verb"] for record in done.values()] == [step.verb for step in steps]
    rows = {row["id"] for row in json.loads(outcome.out)["rows"]}
    assert rows >= {step.id for step in steps if step.verb in ("train", "prune", "quantize")}


@pytest.fixture
def recipe(tmp_path):
    def write(text):
        path = tmp_path / "r.yaml"
        path.write_text(text)
        return Recipe.load(path)

    return write


TEXT = """
data: {source: cifar10, validation: 5%}
steps:
  - train: {id: a, model: vgg19, pretrained: true, epochs: 90, warmup_epochs: 5, vary: {input_size: [224, 448]}}
  - train: {id: v, model: swin_b, epochs: 2, phases: 'head:epochs=5 all'}
  - train: {id: c, model: 'squeezenet:sr=0.25', batch_size: 1024, accumulate: 16}
  - prune: {id: p, parent: a-224, params: 0.96M, epochs: 9}
  - quantize: {id: q, parent: p, max_drop: 0.3}
  - bench: {id: b, parents: [a, p, q]}
expect: {p: {top1_at_least: 90}}
"""


def test_what_is_made_small_is_said(recipe, tmp_path):
    """Sizes keep their order, large networks give way, small ones and their options stay; all of it in words."""
    small, changes = make_smoke(recipe(TEXT), tmp_path / "out")
    a, b, v, c, p, q, bench = small.steps
    assert (a.data.input_size, b.data.input_size) == (32, 64) and a.epochs == p.epochs == 1
    assert (a.model.name, v.model.name) == ("timm:test_resnet", "timm:test_vit") and not a.pretrained
    assert c.model.name == "squeezenet" and c.model.options["sr"] == 0.25 and (c.batch_size, c.accumulate) == (16, 2)
    assert [phase["epochs"] for phase in v.phases] == [1, 1]
    assert p.params.text == "50%" and q.max_drop is None and len(bench.parents) == 2 and small.expect == {}
    assert changes[0] == "90 pictures of 10 classes of fashion-mini are the data"
    for said in (
        "vgg19 is timm:test_resnet",
        "vgg19: random weights, not the published ones",
        "prune: 0.96M of params is 50%",
        "quantize: max_drop is not held",
        "b: times 2 of 4 models",
        "sizes: 224 px is 32, 448 px is 64",
        "what the recipe expects is not held",
    ):
        assert said in changes


def test_stand_ins_are_small_and_have_stages():
    """ResNet's stages are there to be frozen: recipes that name layer4 still can."""
    from strop.models import build
    from strop.models.stages import count_stages
    from strop.recipe.smoke import ANY_OTHER, STAND_INS

    for name in {ANY_OTHER, *STAND_INS.values()}:
        stages = count_stages(build(name, num_classes=10, input_size=32), 10)
        assert sum(stages.values()) < MOST_PARAMETERS
        assert {"stem", "layer1", "layer2", "layer3", "layer4", "head"} <= set(stages)


def test_given_pictures_are_taken_and_left_as_they_are(recipe, tmp_path, shapes):
    """A few of each class are copied; the set itself is only read, and what lies in the folder of the runs stays."""
    before = {path: path.stat().st_mtime_ns for path in shapes.rglob("*.png")}
    mine = tmp_path / "out" / "pictures" / "mine.png"
    mine.parent.mkdir(parents=True)
    mine.write_text("not yours")
    small, changes = make_smoke(recipe(TEXT), tmp_path / "out", data=str(shapes))
    assert changes[0] == "36 pictures of 4 classes of shapes are the data"  # 6 + 3 of each
    copied = sorted(Path(small.steps[0].data.source).rglob("*.png"))
    assert len(copied) == 36
    stamps = [path.stat().st_mtime_ns for path in copied]
    make_smoke(recipe(TEXT), tmp_path / "out", data=str(shapes))
    assert [path.stat().st_mtime_ns for path in copied] == stamps, "the same pictures are written once"
    assert {path: path.stat().st_mtime_ns for path in shapes.rglob("*.png")} == before
    assert mine.read_text() == "not yours"


@pytest.mark.slow
def test_the_ladder_runs_and_goes_on(strop, tmp_path):
    """Every rung is an exported file whose hash is that of its evidence; the second time nothing is done again."""
    words = ("ladder", "fashion-mini", "--model", "cnn3", "--teacher", "cnn5", "--budgets", "50%", "--smoke")
    outcome = strop(*words, "--json")
    assert outcome.code == 0, outcome.err[-2000:]
    found = json.loads(outcome.out)
    rungs = {"teacher", "student", "pruned-50", "int8-student", "int8-pruned-50", "pruned-50-qat"}
    assert {row["id"] for row in found["rows"]} == rungs == {point["id"] for point in found["front"]}
    root = tmp_path / "runs" / "ladder-fashion-mini" / "smoke"
    assert all((root / f"file-{name}" / "model.onnx").is_file() for name in rungs)
    assert json.loads((root / "front.json").read_text())["points"] == found["front"]
    again = strop(*words)
    assert again.code == 0 and again.out.count("already done, nothing changed") == 13
    assert "each point is a file whose hash is that of its evidence: 6 checked" in again.out
    (root / "file-student" / "model.onnx").write_bytes(b"another")
    assert strop(*words).code != 0, "a file that was changed is no point"
