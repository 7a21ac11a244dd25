"""`strop run --dry-run`: counts against what was published, states, and how time is estimated."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from strop.data.facts import known_facts
from strop.data.sets import sets
from strop.recipe import Recipe
from strop.recipe import profile as profiles
from strop.recipe.counts import Network, count
from strop.recipe.plan import make_plan
from strop.recipe.profile import FILE, known_profile, work
from strop.steps.options import DataConfig

RECIPES = Path(__file__).parents[2] / "recipes"
# The write-up's table, reproduced by counting the networks of torchvision 0.29.2: see recipes/cifar100-seven.yaml.
SEVEN = {
    "cnn2": 219_044, "cnn3": 168_036, "cnn5": 1_116_388, "vgg19": 139_979_940, "resnet101": 42_705_060,
    "vit_b_32": 87_532_132, "swin_b": 86_845_724,
}  # fmt: skip


@pytest.fixture(autouse=True)
def steady(monkeypatch):
    """Rates that are known, so that estimates are arithmetic and no test waits for the clock."""
    rate = {"mac": 1e-10, "byte": 1e-10, "off": 0.25}
    monkeypatch.setattr(profiles, "_measure", lambda precision, device: dict(rate))


def test_seven_networks_have_the_published_parameters(strop, monkeypatch):
    """Without CIFAR-100 on the disk: the classes are known; nothing is made, nothing is fetched."""
    from strop.data import cifar

    monkeypatch.setattr(cifar, "_download", lambda *_: pytest.fail("a plan downloads nothing"))
    code, out, err = strop("run", str(RECIPES / "cifar100-seven.yaml"), "--dry-run", "--json")
    assert code == 0, err
    plan = json.loads(out)
    counts = {step["id"]: step["parameters"] for step in plan["steps"]}
    assert {name: counts[name] for name in SEVEN} == SEVEN
    assert not Path("runs").exists()


def test_the_table_fits_80_columns(strop):
    """Parameters to the unit, no line wider than a terminal, and how time was estimated."""
    code, out, _ = strop("run", str(RECIPES / "fashion-mnist.yaml"), "--dry-run")
    assert code == 0 and max(map(len, out.splitlines())) <= 80
    said = " ".join(out.split())
    assert "11,175,370" in said, "ResNet-18 of torchvision with one channel and ten classes"
    assert "<1,005,783" in said, "9 % of it, a budget"
    assert re.search(r"misses by up to \d+ %", said) and "Reading pictures is left out." in said


@pytest.mark.parametrize("name", sets.names())
def test_every_set_says_its_facts(name):
    """Also one that nobody has: classes, channels, sides and counts."""
    facts = known_facts(name)
    assert facts.classes >= 2 and facts.channels in (1, 3) and facts.train >= 1000
    module = __import__(f"strop.data.sets.{name.replace('-', '_')}", fromlist=["CLASSES"])
    names = getattr(module, "CLASSES", None)
    if names is not None:
        written = names.split(";") if isinstance(names, str) and ";" in names else names
        written = written.split() if isinstance(written, str) else written
        assert len(written) == facts.classes
    assert known_facts("no-such-set") is None


def test_the_bundled_set_is_as_its_facts_say():
    """What a plan reckons with for a named set is what opening it gives."""
    from strop.recipe.seen import _open, look_ahead

    for options in ({"validation": "10%"}, {"fold": "2/5"}, {"classes": ["bag", "coat"], "validation": "20%"}):
        config = DataConfig(source="fashion-mini", **options)
        ahead, opened = look_ahead(config), _open(config)
        assert (ahead.classes, ahead.channels, ahead.side) == (opened.classes, opened.channels, opened.side)
        assert (ahead.train, ahead.val, ahead.test) == (opened.train, opened.val, opened.test)


def test_what_freezing_leaves(here):
    """ResNet-50 with 240 classes: the published trainable counts; a frozen body needs no backward pass."""
    steps = make_plan(
        Recipe.load(RECIPES / "imagenet240-unfreeze.yaml", changes={"data.classes": str(_names(here))}), here
    )
    trainable = {step["id"]: step["trainable"] for step in steps["steps"]}
    # 491,760 of the head; 14,964,736 of layer4; 7,098,368 of layer3: counted on torchvision's resnet50.
    assert (trainable["head"], trainable["layer4"], trainable["layer3"]) == (491_760, 15_456_496, 22_554_864)
    resnet = Network("resnet50", (), 240, 3, 224)
    whole, head = count(resnet), count(resnet, ("all-but-head",))
    assert head.macs == whole.macs == whole.macs_back and head.macs_back == 240 * 2048
    assert head.kept < 0.01 * whole.kept


def _names(folder):
    path = folder / "classes.txt"
    path.write_text("".join(f"class{number}\n" for number in range(240)))
    return path


def test_states_and_what_they_leave_to_do(strop, here):
    """A step that is done is found done, also under an id; its parent's folder is what later steps begin with."""
    (here / "r.yaml").write_text(
        "data: {source: fashion-mini, classes: [bag, coat], validation: 10%}\nsteps:\n"
        "  - train: {id: a, model: cnn2, epochs: 1, audit: 'off'}\n"
        "  - evaluate: {id: b, parent: a, split: test}\n  - prune: {id: c, parent: a, params: 50%}\n"
    )
    before = make_plan(Recipe.load("r.yaml"), here / "runs")
    assert [step["state"] for step in before["steps"]] == ["", "", ""]
    Recipe.load("r.yaml").run(out=here / "runs", only="a")
    after = make_plan(Recipe.load("r.yaml"), here / "runs")
    assert [step["state"] for step in after["steps"]] == ["done", "", ""]
    assert after["seconds"] == pytest.approx(sum(step["seconds"] for step in after["steps"][1:]))
    changed = make_plan(Recipe.load("r.yaml", changes={"a.lr": "0.3"}), here / "runs")
    assert [step["state"] for step in changed["steps"]] == ["", "", ""], "another rate is another step"


def test_pictures_that_will_be_left_out_are_not_in_the_way(here):
    """A text called .jpg among 12: the run leaves it out, and so does the plan."""
    for name in ("bag", "coat"):
        (here / "photos" / name).mkdir(parents=True)
        for i in range(6):
            Image.new("L", (16, 16), 20 * i + (name == "bag")).save(here / "photos" / name / f"{i}.png")
    (here / "photos" / "bag" / "0.png").write_text("my notes")
    data = "data: {source: photos, validation: 0%, max_unreadable: MOST}\nsteps:\n  - train: {id: a, model: cnn2}\n"
    (here / "r.yaml").write_text(data.replace("MOST", "10%"))
    [step] = make_plan(Recipe.load("r.yaml"), here / "runs")["steps"]
    assert step["why"] is None and step["seconds"] > 0
    (here / "r.yaml").write_text(data.replace("MOST", "1%"))
    [step] = make_plan(Recipe.load("r.yaml"), here / "runs")["steps"]
    assert "at most 1 % may be left out" in step["why"]


def test_controls_are_in_the_time(here):
    """By hand, the rates being steady: the parent for the 2 epochs of the fine-tuning, the pruned shape for 3 + 2."""
    (here / "r.yaml").write_text(
        "data: {source: fashion-mini, validation: 10%}\nsteps:\n"
        "  - train: {id: a, model: cnn2, epochs: 3, batch_size: 128}\n"
        "  - prune: {id: b, parent: a, params: 50%, epochs: 2, batch_size: 128, distill: none}\n"
    )
    plan, held = (
        make_plan(Recipe.load("r.yaml", changes=changes), here / "runs") for changes in ({}, {"b.controls": "true"})
    )
    [a, b], [_, against] = plan["steps"], held["steps"]
    assert b["controls"] is None and against["controls"] == pytest.approx(a["seconds"] * 2 / 3 + b["seconds"] * 5 / 2)
    assert against["seconds"] == pytest.approx(b["seconds"] + against["controls"])
    assert held["seconds"] == pytest.approx(plan["seconds"] + against["controls"])
    share = 100 * against["controls"] / held["seconds"]
    assert f"Controls (b) are {share:.0f} % of the time." in held["notes"]


def test_work_is_forward_once_and_backward_twice():
    """By hand: 10 pictures, 2 updates; the optimizer reads weight, gradient and momentum and writes two of them."""
    counts = count(Network("cnn3", (), 10, 1, 28))
    assert counts.macs == counts.macs_back
    macs, moved = work(counts, pictures=10, updates=2)
    assert macs == 10 * 3 * counts.macs
    assert moved == 10 * 3 * counts.moved + 2 * (3 * counts.weights + 20 * counts.parameters)
    assert work(counts, pictures=10) == (10 * counts.macs, 10 * counts.moved)


def test_the_profile_is_measured_once(monkeypatch, tmp_path):
    """Kept by processor, threads, torch and device; where the file is damaged it is measured again."""
    monkeypatch.setenv("STROP_CACHE", str(tmp_path))
    asked = []
    monkeypatch.setattr(
        profiles, "_measure", lambda *about: asked.append(about) or {"mac": 1.0, "byte": 2.0, "off": 0.1}
    )
    first, again = known_profile("cpu", {"fp32"}), known_profile("cpu", {"fp32"})
    assert asked == [("fp32", "cpu")] and (first["measured"], again["measured"]) == (True, False)
    assert first["rates"] == again["rates"]
    for damage in ("{", "[]", json.dumps({first["key"]: {"fp32": {"mac": "1"}}})):
        (tmp_path / FILE).write_text(damage)
        assert known_profile("cpu", {"fp32"})["measured"]


def test_the_rates_are_fitted_to_the_clock(monkeypatch):
    """Times made from known rates give these rates back."""
    monkeypatch.undo()
    nets = [Network(name, (), 10, 3, side) for name, side in profiles.REFERENCES["fp32"]]
    costs = {net: work(count(net), pictures=profiles.BATCH, updates=1) for net in nets}
    truth = {net: 3e-11 * macs + 2e-10 * moved for net, (macs, moved) in costs.items()}
    monkeypatch.setattr(profiles, "_time_updates", lambda network, precision, device: truth[network])
    found = profiles._measure("fp32", "cpu")
    assert found["mac"] == pytest.approx(3e-11, rel=1e-6) and found["byte"] == pytest.approx(2e-10, rel=1e-6)
    assert found["off"] < 1e-6
