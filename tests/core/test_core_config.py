"""From YAML, flags and Python to the same object; every mistake at once, in words that are stored."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strop import Bench, Evaluate, Export, Predict, Prune, Quantize, Recipe, Train
from strop.cli import main
from strop.config import Budget
from strop.errors import UserError
from strop.steps import step_class
from strop.yaml import read_yaml

# The three mistakes of the example in DESIGN, section 8.
BROKEN = """\
data: {source: fashion-mini, validation: 5%}
steps:
  - train:    {id: student, model: cnn3, epoch: 30}
  - train:    {id: other, model: cnn3}
  - prune:    {id: small, parent: student, params: 50}
  - quantize: {id: int8, parent: small, scheme: int7}
"""

# Name of the snapshot, verb, options as YAML, the same as flags.
MISTAKES = [
    ("unknown-option", "train", "model: cnn3, epoch: 3, modl: x", "D --model cnn3 --epoch 3 --modl x"),
    ("ambiguous-budget", "prune", "parent: P, params: 50", "P --params 50"),
    ("ambiguous-fraction", "prune", "parent: P, macs: 0.5", "P --macs 0.5"),
    ("budget-out-of-range", "prune", "parent: P, params: 101%", "P --params 101%"),
    ("budget-unreadable", "prune", "parent: P, params: half", "P --params half"),
    ("two-budgets", "prune", "parent: P, params: 9%, macs: 50%", "P --params 9% --macs 50%"),
    ("no-budget", "prune", "parent: P", "P"),
    ("rounds-without-budget", "prune", "parent: P, depth: 1, rounds: 2", "P --depth 1 --rounds 2"),
    ("rounds-and-epochs", "prune", "parent: P, params: 9%, rounds: 13", "P --params 9% --rounds 13"),
    (
        "rounds-and-warm-up",
        "prune",
        "parent: P, params: 9%, rounds: 6, warmup_epochs: 2",
        "P --params 9% --rounds 6 --warmup-epochs 2",
    ),
    ("latency-without-unit", "prune", "parent: P, latency: 1.5", "P --latency 1.5"),
    ("latency-out-of-range", "prune", "parent: P, latency: 100%", "P --latency 100%"),
    ("wrong-type", "train", "model: cnn3, epochs: many, lr: fast", "D --model cnn3 --epochs many --lr fast"),
    (
        "out-of-range",
        "train",
        "model: cnn3, epochs: 0, lr: -1, warmup: 2, seed: -1",
        "D --model cnn3 --epochs 0 --lr -1 --warmup 2 --seed -1",
    ),
    ("not-finite", "train", "model: cnn3, lr: .inf", "D --model cnn3 --lr inf"),
    ("not-an-option", "train", "model: cnn3, sampling: ballanced", "D --model cnn3 --sampling ballanced"),
    ("optimizer-of-timm", "train", "model: cnn3, optimizer: lion", "D --model cnn3 --optimizer lion"),
    ("unknown-optimizer", "train", "model: cnn3, optimizer: timm:lamp", "D --model cnn3 --optimizer timm:lamp"),
    (
        "warm-up",
        "train",
        "model: cnn3, warmup: 0.1, warmup_epochs: 5",
        "D --model cnn3 --warmup 0.1 --warmup-epochs 5",
    ),
    ("wrong-pattern", "train", "model: cnn3, id: a/b, device: gpu", "D --model cnn3 --id a/b --device gpu"),
    ("unknown-model", "train", "model: resnet81", "D --model resnet81"),
    ("unknown-loss", "train", "model: cnn3, loss: cross-entropi", "D --model cnn3 --loss cross-entropi"),
    ("unknown-augmentation", "train", "model: cnn3, augment: hflop", "D --model cnn3 --augment hflop"),
    ("unknown-criterion", "prune", "parent: P, params: 9%, criterion: norm", "P --params 9% --criterion norm"),
    (
        "part-option",
        "train",
        "model: cnn3, loss: 'cross-entropy:smooting=0.1', sparsify: 'l1:strength=strong'",
        "D --model cnn3 --loss cross-entropy:smooting=0.1 --sparsify l1:strength=strong",
    ),
    ("distill-without-teacher", "train", "model: cnn3, distill: kd", "D --model cnn3 --distill kd"),
    (
        "teacher-without-distill",
        "prune",
        "parent: P, params: 9%, teacher: P, distill: none",
        "P --params 9% --teacher P --distill none",
    ),
    ("model-and-parent", "train", "model: cnn3, parent: P", "D --model cnn3 --parent P"),
    ("neither-model-nor-parent", "train", "epochs: 3", "D --epochs 3"),
    ("fresh-without-parent", "train", "model: cnn3, fresh: true", "D --model cnn3 --fresh"),
    ("pretrained-parent", "train", "parent: P, pretrained: true", "D --parent P --pretrained true"),
    ("share", "train", "model: cnn3, data: {source: D, validation: '5'}", "D --model cnn3 --validation 5"),
    ("input-size", "train", "model: cnn3, data: {source: D, input_size: 4}", "D --model cnn3 --input-size 4"),
    ("scheme", "quantize", "parent: P, scheme: int7", "P --scheme int7"),
    ("mixed-without-bytes", "quantize", "parent: P, scheme: mixed", "P --scheme mixed"),
    ("bytes-without-mixed", "quantize", "parent: P, bytes: 1MB", "P --bytes 1MB"),
    ("bytes", "quantize", "parent: P, scheme: mixed, bytes: 1XB", "P --scheme mixed --bytes 1XB"),
    (
        "bytes-and-max-drop",
        "quantize",
        "parent: P, scheme: mixed, bytes: 1MB, max_drop: 0.3",
        "P --scheme mixed --bytes 1MB --max-drop 0.3",
    ),
    ("max-drop", "quantize", "parent: P, max_drop: -1", "P --max-drop -1"),
    ("split", "evaluate", "parent: P, split: validation", "P --split validation"),
    ("rounds", "bench", "parents: [P], rounds: 1", "P --rounds 1"),
]


@pytest.fixture
def prepared(here):
    """A data set name stands for D, a run folder is P."""
    (here / "P").mkdir()
    (here / "P" / "run.json").write_text("{}")
    return here


def words(verb: str, flags: str) -> list[str]:
    return [verb, *("fashion-mini" if word == "D" else word for word in flags.split())]


def yaml(verb: str, options: str) -> str:
    options = options.replace("source: D", "source: fashion-mini")
    data = "" if verb != "train" or "data:" in options else ", data: fashion-mini"
    return f"steps:\n  - {verb}: {{{options}{data}}}\n"


def test_three_mistakes_are_all_reported(here, same_as_snapshot):
    """The broken.yaml of DESIGN, section 8: three mistakes of three kinds in three steps, one message."""
    (here / "broken.yaml").write_text(BROKEN)
    with pytest.raises(UserError) as caught:
        Recipe.load("broken.yaml")
    assert len(caught.value.problems) == 3
    same_as_snapshot("broken", f"error: {caught.value}")


@pytest.mark.parametrize(("name", "verb", "options", "flags"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_messages(prepared, refused, same_as_snapshot, name, verb, options, flags):
    """A mistake reads well in YAML and as a flag: where, the value shown, and what to write instead."""
    (prepared / "r.yaml").write_text(yaml(verb, options))
    with pytest.raises(UserError) as caught:
        Recipe.load("r.yaml")
    said = refused(*words(verb, flags))
    same_as_snapshot(name, f"error: {caught.value}\n{said}")
    assert len(caught.value.problems) == max(1, said.count("\n") - 1), "as many mistakes as flags as in YAML"


def test_missing_data(refused, prepared, same_as_snapshot):
    """A training without data says what to give."""
    (prepared / "r.yaml").write_text("steps:\n  - train: {model: cnn3}\n")
    with pytest.raises(UserError) as caught:
        Recipe.load("r.yaml")
    same_as_snapshot("missing-data", f"error: {caught.value}\n{refused('train', '--model', 'cnn3')}")


@pytest.mark.parametrize(("name", "verb", "options", "flags"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_python_says_the_same(prepared, name, verb, options, flags):
    """The sentences of YAML, in the same order, without the place in the file; and nothing of pydantic's."""
    (prepared / "r.yaml").write_text(yaml(verb, options))
    [settings] = read_yaml(prepared / "r.yaml")["steps"][0].values()
    with pytest.raises(UserError) as of_yaml:
        Recipe.load("r.yaml")
    with pytest.raises(UserError) as of_python:
        step_class(verb)(**settings)
    assert of_python.value.where == f"strop.{step_class(verb).__name__}"
    places = [problem.removeprefix(f"steps[0].{verb}.") for problem in of_yaml.value.problems]
    assert of_python.value.problems == places


def test_python_refuses_the_same(prepared):
    """Values of the wrong type, unknown options and broken rules do not get past the class either."""
    for wrong in ({"epochs": "3"}, {"epoch": 3}, {"distill": "kd"}, {"seed": -1}, {"augment": 3}, {"loss": "ce"}):
        with pytest.raises(UserError):
            Train(data="fashion-mini", model="cnn3", **wrong)
    Train(data="fashion-mini", model="cnn3")


def test_a_step_is_frozen():
    """What was validated can't be changed behind its back."""
    step = Train(data="fashion-mini", model="cnn3")
    with pytest.raises(ValueError, match="frozen"):
        step.epochs = 3


SAME = [
    (
        Train(
            data={"source": "fashion-mini", "validation": "10%", "input_size": 32},
            model="cnn3",
            teacher="P",
            distill={"kd": {"temperature": 4.0, "standardize": False}},
            epochs=3,
            lr=1e-3,
            optimizer="adamw",
            augment="hflip:p=0.25",
            sparsify={"l1": {"strength": 1e-4}},
            pretrained=False,
            id="a",
        ),
        "id: a, data: {source: fashion-mini, validation: 10%, input_size: 32}, model: cnn3, teacher: P, epochs: 3, "
        "lr: 1e-3, distill: {kd: {temperature: 4, standardize: false}}, augment: [{hflip: {p: 0.25}}], "
        "sparsify: 'l1:strength=1e-4', optimizer: adamw, pretrained: false",
        "D --validation 10% --input-size 32 --model cnn3 --teacher P --epochs 3 --lr 1e-3 --id a --pretrained false "
        "--distill kd:temperature=4,standardize=false --augment hflip:p=0.25 --sparsify l1:strength=1e-4 "
        "--optimizer adamw",
    ),
    (
        Train(data="fashion-mini", model="resnet18", pretrained=True),
        "model: resnet18, pretrained: true, data: fashion-mini",
        "D --model resnet18 --pretrained true",
    ),
    (
        Train(data="fashion-mini", parent="P", augment="none", distill="none"),
        "parent: P, augment: none, distill: none, data: {source: fashion-mini}",
        "D --parent P --augment none --distill none",
    ),
    (
        Train(data="fashion-mini", model="cnn3", augment=["hflip", {"crop": {"pixels": 2}}]),
        "model: cnn3, augment: [hflip, crop:pixels=2], data: fashion-mini",
        "D --model cnn3 --augment hflip+crop:pixels=2",
    ),
    (
        Train(
            data="fashion-mini",
            model="cnn3",
            optimizer={"timm:lamb": {"beta1": 0.9, "beta2": 0.98}},
            layer_decay=0.75,
            schedule={"step": {"every": 5.0, "gamma": 0.2}},
            warmup_epochs=2.0,
            clip=1.0,
            loss={"focal": {"gamma": 1.5}},
            class_weights={"bag": 2.0, "coat": 0.5},
            sampling="balanced",
            augment=["hflip", "crop", {"mixup": {"alpha": 0.4}}, "cutmix"],
        ),
        "model: cnn3, optimizer: {timm: {name: lamb, beta1: 0.9, beta2: 0.98}}, layer_decay: 0.75, clip: 1, "
        "schedule: {step: {every: 5, gamma: 0.2}}, warmup_epochs: 2, loss: focal:gamma=1.5, data: fashion-mini, "
        "class_weights: {bag: 2, coat: 0.5}, sampling: balanced, augment: [light, mixup:alpha=0.4, cutmix]",
        "D --model cnn3 --optimizer timm:lamb:beta1=0.9,beta2=0.98 --layer-decay 0.75 --clip 1 --warmup-epochs 2 "
        "--schedule step:every=5,gamma=0.2 --loss focal:gamma=1.5 --class-weights bag=2,coat=0.5 "
        "--sampling balanced --augment light+mixup:alpha=0.4+cutmix",
    ),
    (Prune(parent="P", params="9%"), "parent: P, params: 9%", "P --params 9%"),
    (
        Prune(parent="P", macs=Budget.read("0.46G"), criterion="group-norm:p=1", scope="global", distill=None),
        "parent: P, macs: 0.46G, criterion: {group-norm: {p: 1}}, scope: global, distill: none",
        "P --macs 0.46G --criterion group-norm:p=1 --scope global --distill none",
    ),
    (Prune(parent="P", params=5000), "parent: P, params: 5000", "P --params 5000"),
    (
        Quantize(parent="P", images=64, calibrator="entropy", seed=3),
        "parent: P, images: 64, calibrator: entropy, seed: 3",
        "P --images 64 --calibrator entropy --seed 3",
    ),
    (Export(parent="P", split="test", out="o"), "parent: P, split: test, out: o", "P --split test --out o"),
    (Evaluate(parent="P", data="other"), "parent: P, data: other", "P other"),
    (Bench(parents=["P", "P"], threads=2), "parents: [P, P], threads: 2", "P P --threads 2"),
    (Bench(parents="P"), "parents: P", "P"),
]


class Reached(Exception):
    """Carries the step that a command was about to run."""


def run_step_of(arguments: list[str], kind: type, monkeypatch):
    def stop(step, **_):
        raise Reached(step)

    monkeypatch.setattr(kind, "execute", stop)
    with pytest.raises(Reached) as caught:
        main(arguments)
    return caught.value.args[0]


@pytest.mark.parametrize(("step", "options", "flags"), SAME, ids=[f"{i}-{row[0].verb}" for i, row in enumerate(SAME)])
def test_python_yaml_and_flags_give_the_same_step(prepared, monkeypatch, step, options, flags):
    """One object behind the three ways to write it, equal in every field and in its settings."""
    (prepared / "r.yaml").write_text(f"steps:\n  - {step.verb}: {{{options}}}\n")
    [read] = Recipe.load("r.yaml").steps
    flagged = run_step_of(words(step.verb, flags), type(step), monkeypatch)
    assert read == step and flagged == step
    assert read.settings() == flagged.settings() == step.settings()


def test_predict_takes_paths(prepared, monkeypatch):
    """Predict is no recipe step; its flags and Python agree."""
    assert run_step_of(["predict", "P", "a.png", "b", "--grid", "g.png"], Predict, monkeypatch) == Predict(
        parent="P", paths=["a.png", "b"], grid="g.png"
    )


@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 0.05), ("adam", 0.001), ("adamw", 0.001)])
def test_the_learning_rate_belongs_to_the_optimizer(optimizer, lr):
    """As --help says: 0.05 for sgd, else 0.001; one that is given stays."""
    assert Train(data="d", model="cnn3", optimizer=optimizer).lr == lr
    assert Train(data="d", model="cnn3", optimizer=optimizer, lr=0.3).lr == 0.3


def test_a_teacher_teaches_by_kd_unless_told_otherwise():
    """--teacher alone is enough."""
    assert [part.name for part in Train(data="d", model="cnn3", teacher="t").distill] == ["kd"]
    assert Train(data="d", model="cnn3").distill == ()


@pytest.mark.parametrize(
    ("text", "whole", "limit"),
    [
        # 9 % of ResNet-18 with 10 classes: 0.09 * 11,181,642 = 1,006,347.78, and a budget is an upper bound.
        ("9%", 11_181_642, 1_006_347),
        ("0.96M", 11_181_642, 960_000),
        ("29%", 100, 29),  # int(0.29 * 100) is 28
        ("100%", 7, 7),
        ("0.5%", 1000, 5),
        ("1.5k", 1, 1500),
        ("0.46G", 1, 460_000_000),
        ("1000", 1, 1000),
        ("2 M", 1, 2_000_000),
    ],
)
def test_budget_limit(text, whole, limit):
    """A share is of the whole, rounded down; a count is itself."""
    assert Budget.read(text).limit(whole) == limit
    assert Budget.read(Budget.read(text)) is not None and Budget.read(text).text == text


@given(percent=st.integers(1, 10_000), whole=st.integers(0, 10**12))
def test_budget_share_is_exact(percent, whole):
    """The limit is the largest whole number that is at most the share, at any size."""
    limit = Budget.read(f"{percent / 100:.2f}%").limit(whole)
    assert limit <= Fraction(percent, 10_000) * whole < limit + 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("50", "'50' is ambiguous. For a share write 50%, for a count write 50k or 50M."),
        (50, "'50' is ambiguous."),
        (0.5, "'0.5' is ambiguous. For a share write 50%, for a count write 0.5k or 0.5M."),
        ("999", "'999' is ambiguous."),
        ("0%", "'0%' is out of range. A share is above 0% and at most 100%."),
        ("100.1%", "'100.1%' is out of range."),
        ("0k", "'0k' is out of range. A count is at least 1."),
        ("-9%", "'-9%' is not a budget. Write a share (9%) or a count (0.96M)."),
        ("9 percent", "is not a budget."),
        ("1T", "is not a budget."),
        ("", "is not a budget."),
        (True, "'True' is not a budget."),
        (None, "'None' is not a budget."),
    ],
)
def test_budget_refuses(text, said):
    """What could mean two things, or nothing, is refused with both ways to write it."""
    with pytest.raises(ValueError) as caught:
        Budget.read(text)
    assert said in str(caught.value)
