"""Recipes: what a YAML file may hold, how steps refer to each other, and what must hold in the end."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strop import Evaluate, Prune, Quantize, Recipe, Train
from strop.errors import GateFailed, UserError
from strop.recipe import Expectation, hold
from strop.runs import Run
from strop.yaml import MAX_BYTES, read_yaml, write_recipe

HEAD = "data: fashion-mini\nsteps:\n"
CHAIN = (
    HEAD
    + "  - train: {id: big, model: cnn5}\n"
    + "  - train: {id: little, model: cnn2, teacher: big}\n"
    + "  - prune: {id: less, parent: little, params: 50%}\n"
)


@pytest.fixture
def load(here):
    """Write a recipe and read it."""

    def read(text: str, **changes: str) -> Recipe:
        (here / "r.yaml").write_text(text, encoding="utf-8")
        return Recipe.load("r.yaml", changes={name.replace("__", "."): value for name, value in changes.items()})

    return read


@pytest.fixture
def mistakes(load):
    """What is wrong with a recipe, a line each."""

    def collect(text: str, **changes: str) -> list[str]:
        with pytest.raises(UserError) as caught:
            load(text, **changes)
        assert caught.value.where == "r.yaml"
        return caught.value.problems

    return collect


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: []\nsteps: []\n", "is not valid YAML in line 2: found duplicate key"),
        (HEAD + "  - train: {id: a, model: cnn3, id: b}\n", "is not valid YAML in line 3: found duplicate key"),
        ("steps:\n  - &a train\n  - *a\n", "uses a YAML alias (*name). Write the value out."),
        ("a: &b {id: 1}\nsteps:\n  - train: {<<: *b}\n", "uses a YAML alias (*name). Write the value out."),
        ("steps:\n  - !!python/object/apply:os.system [ls]\n", "is not valid YAML in line 2: could not determine"),
        ("steps:\n  - train: !secret {id: a}\n", "is not valid YAML in line 2: could not determine"),
        ("steps: [\n", "is not valid YAML in line 2: "),
        ("steps: []\n---\nsteps: []\n", "is not valid YAML in line 2: but found another document"),
        ("- train\n", "has no list of steps."),
        ("", "has no list of steps."),
        ("steps: {train: {}}\n", "has no list of steps."),
        ("steps: []\n", "has no list of steps."),
        ("steps: " + "[" * 5000 + "]" * 5000, "is nested over 20 deep; a recipe needs six levels."),
    ],
)
def test_what_is_no_recipe(here, text, said):
    """YAML that is ambiguous, could build objects, or holds no steps is refused with its line."""
    path = here / "r.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_yaml(path)
    assert len(caught.value.problems) == 1 and caught.value.problems[0].startswith(said)


def test_size_and_encoding_are_checked(here):
    """A file over 1 MB is not parsed at all; other encodings than UTF-8 and folders are named."""
    path = here / "r.yaml"
    path.write_bytes(b"steps: [" + b"1," * (MAX_BYTES // 2) + b"]")
    with pytest.raises(UserError, match="has over 1,000,000 bytes"):
        read_yaml(path)
    path.write_bytes("steps: [é]".encode("latin-1"))
    with pytest.raises(UserError, match="can't be read .* Give a recipe in YAML, encoded in UTF-8"):
        read_yaml(path)
    with pytest.raises(UserError, match="can't be read"):
        read_yaml(here)
    with pytest.raises(UserError, match="no such file"):
        read_yaml(here / "none.yaml")


def test_yaml_1_2_scalars(load):
    """`1e-3` is a number, `yes`, `on` and `no` are text, 010 is ten: YAML 1.2, not 1.1."""
    recipe = load(HEAD + "  - train: {id: yes, model: cnn3, lr: 1e-3, seed: 010}\n  - train: {id: on, model: cnn2}\n")
    assert [step.id for step in recipe.steps] == ["yes", "on"]
    assert recipe.steps[0].lr == 0.001 and recipe.steps[0].seed == 10


def test_data_stand_in_every_training_that_has_none(load):
    """The recipe's data are each train step's; a step's own go first."""
    steps = load(
        "data: {source: fashion-mini, validation: 10%}\nsteps:\n"
        "  - train: {id: a, model: cnn3}\n  - train: {id: b, model: cnn3, data: fashion-mnist}\n"
    ).steps
    assert (steps[0].data.source, steps[0].data.validation) == ("fashion-mini", "10%")
    assert (steps[1].data.source, steps[1].data.validation) == ("fashion-mnist", "5%")


def test_a_mistake_in_the_data_is_one_mistake(mistakes):
    """Two trainings share the data block; what is wrong in it is said once, at its place."""
    two = "steps:\n  - train: {id: a, model: cnn3}\n  - train: {id: b, model: cnn3}\n"
    assert mistakes("data: {source: fashion-mini, validation: 5}\n" + two) == [
        "data.validation: '5' is no share of the training pictures, 0% to below 100%. "
        "Write 5% or a fraction such as 0.05."
    ]
    [said] = mistakes("data: {source: fashion-mini, valdation: 5%}\n" + two)
    assert said.startswith("data.valdation: unknown option. Did you mean 'validation'?")


@pytest.mark.parametrize("written", ["0.05", "5%", "'5%'", "0"])
def test_a_share_may_be_a_fraction(load, written):
    """`validation: 0.05` needs no quotes."""
    recipe = load(f"data: {{source: fashion-mini, validation: {written}}}\nsteps:\n  - train: {{id: a, model: cnn3}}\n")
    assert recipe.steps[0].data.validation == written.strip("'")


def test_references_are_ids_of_earlier_steps_or_run_folders(load, mistakes, here):
    """A later step's id is no parent; a run folder is one."""
    assert mistakes(HEAD + "  - prune: {id: b, parent: a, params: 50%}\n  - train: {id: a, model: cnn3}\n") == [
        "steps[0].prune.parent: 'a' is neither an earlier step nor a run folder."
    ]
    (here / "old").mkdir()
    (here / "old" / "run.json").write_text("{}")
    assert load("steps:\n  - quantize: {id: b, parent: old}\n").steps[0].parent == "old"


def test_an_unknown_parent_gets_a_suggestion(mistakes):
    """Both roles and every name of a list are looked at."""
    said = mistakes(
        CHAIN + "  - prune: {id: x, parent: litle, teacher: bigg, params: 9%}\n  - bench: {parents: [les]}\n"
    )
    assert said == [
        "steps[3].prune.parent: 'litle' is neither an earlier step nor a run folder. "
        "Did you mean 'little'? Known: big, less, little.",
        "steps[3].prune.teacher: 'bigg' is neither an earlier step nor a run folder. "
        "Did you mean 'big'? Known: big, less, little.",
        "steps[4].bench.parents: 'les' is neither an earlier step nor a run folder. "
        "Did you mean 'less'? Known: big, less, little, x.",
    ]


def test_ids_are_given_once(mistakes):
    """The second step with an id is the wrong one; a step without an id is not called 'None'."""
    assert mistakes(CHAIN + "  - quantize: {id: less, parent: less}\n") == [
        "steps[3].quantize.id: 'less' is taken by an earlier step. Choose another."
    ]
    [said] = mistakes(HEAD + "  - train: {model: cnn3}\n  - quantize: {parent: None}\n")
    assert said.startswith("steps[1].quantize.parent: 'None' is neither an earlier step nor a run folder.")


def test_a_wrong_step_is_not_wrong_twice(mistakes):
    """What refers to a step that has a mistake of its own is no further mistake."""
    assert len(mistakes(CHAIN.replace("cnn2,", "cnn2, epochs: many,") + "expect: {little: {top1_at_least: 5}}\n")) == 1


def test_items_that_are_no_steps(mistakes):
    """Each odd item of the list is named with its number, and none of them breaks the reading."""
    said = mistakes(
        "steps:\n  - train\n  - {train: {}, prune: {}}\n  - trian: {}\n  - train: 5\n  - predict: {}\nstep: 1\n"
    )
    assert [line.partition(": ")[0] for line in said] == [
        "steps[0]", "steps[1]", "steps[2].trian", "steps[3].train", "steps[4].predict", "step",
    ]  # fmt: skip
    assert "Did you mean 'train'?" in said[2] and "Did you mean 'steps'?" in said[5]


def test_set_replaces_an_option(load):
    """ID.option and data.option, read as YAML: a number is a number."""
    recipe = load(CHAIN, little__lr="1e-3", less__params="9%", data__validation="10%", big__pretrained="false")
    big, little, less = recipe.steps
    assert (little.lr, less.params.text, big.pretrained) == (0.001, "9%", False)
    assert big.data.validation == little.data.validation == "10%" and big.data.source == "fashion-mini"
    assert load("steps:\n  - train: {id: a, model: cnn3}\n", data__source="fashion-mini").steps[0].data.source


def test_set_is_checked_like_the_file(mistakes):
    """Unknown steps and options, unreadable and wrong values are mistakes with all others."""
    said = mistakes(CHAIN, litle__epochs="3", little__epoch="3", big__epochs="[3", less__params="50", less="5")
    assert said[0].startswith("--set litle.epochs: 'litle' is not a step. Did you mean 'little'?")
    assert said[1] == "--set big.epochs: '[3' is not a YAML value. Write it as in the recipe."
    assert said[2].startswith("--set less: 'less' is not a step.")
    assert said[3].startswith("steps[1].train.epoch: unknown option. Did you mean 'epochs'?")
    assert said[4].startswith("steps[2].prune.params: '50' is ambiguous.")


class Ran(list):
    """Steps as they were executed, without their work."""

    def __init__(self, monkeypatch):
        for kind in (Train, Prune):
            monkeypatch.setattr(kind, "execute", lambda step, *, root: self.execute(step, root))

    def execute(self, step, root):
        folder = Path(root) / f"{step.id}-2"  # the name was taken
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.json").write_text(f'{{"id": "{folder.name}"}}')
        self.append(step)
        return Run(folder)


def test_run_links_ids_to_folders(load, monkeypatch, here):
    """A parent's id becomes the folder that it was really written to, also where the name was taken."""
    ran = Ran(monkeypatch)
    recipe = load(CHAIN)
    runs = recipe.run()
    assert [step.id for step in ran] == ["big", "little", "less"]
    assert ran[1].teacher == ["runs/r/big-2"] and ran[2].parent == "runs/r/little-2"
    assert [run.folder for run in runs] == [Path(f"runs/r/{name}-2") for name in ("big", "little", "less")]
    assert recipe.steps[1].teacher == ["big"], "the recipe itself stays as it was read"


def test_run_only_one_step(load, monkeypatch, here):
    """`only` runs that step, with the folders of the others as they should lie there."""
    ran = Ran(monkeypatch)
    load(CHAIN).run(out=here / "there", only="less")
    assert [step.id for step in ran] == ["less"] and ran[0].parent == str(here / "there" / "little")
    with pytest.raises(
        UserError, match=r"--only les: no step has this id. Did you mean 'less'\? Known: big, less, little"
    ):
        load(CHAIN).run(only="les")


@pytest.mark.parametrize(
    ("wanted", "broken"),
    [
        ({"top1_at_least": 80.0}, None),
        ({"top1_at_least": 80.1}, "small reaches 80.00 %; at least 80.1"),
        ({"top1_drop_vs": "student", "at_most": 5.0}, None),
        ({"top1_drop_vs": "student", "at_most": 4.9}, "small lost 5.00 points against student; at most 4.9"),
        ({"top1_drop_vs": "student", "at_most": 4.0, "top1_at_least": 90.0}, "small reaches 80.00 %; at least 90.0"),
    ],
)
def test_expectations_hold_to_the_point(make_run, wanted, broken):
    """0.85 and 0.80 are 5 points of percent apart: at most 5 holds, at most 4.9 does not."""
    made = {"student": make_run("student", accuracy=0.85), "small": make_run("small-2", accuracy=0.80)}
    expect = {"small": Expectation(**wanted)}
    if broken is None:
        hold(expect, made)
    else:
        with pytest.raises(GateFailed) as caught:
            hold(expect, made)
        assert broken in str(caught.value) and caught.value.code == 3


def test_all_broken_expectations_are_named(make_run):
    """One gate that fails does not hide another."""
    made = {name: make_run(name, accuracy=0.5) for name in ("a", "b")}
    with pytest.raises(GateFailed, match="a reaches 50.00 %; at least 60.0; b reaches 50.00 %; at least 70.0"):
        hold({"a": Expectation(top1_at_least=60.0), "b": Expectation(top1_at_least=70.0)}, made)


def test_what_was_not_measured_does_not_hold(make_run):
    """No accuracy is no success."""
    made = {"a": make_run("a"), "b": make_run("b", accuracy=None)}
    with pytest.raises(GateFailed, match="expected, and not measured: b"):
        hold({"b": Expectation(top1_at_least=0.0), "a": Expectation(top1_at_least=1.0)}, made)


def test_an_expectation_that_cannot_fail_is_a_mistake(mistakes):
    """Half a rule, an empty one, an unknown step and an unknown list are refused, all at once."""
    said = mistakes(
        CHAIN + "expect:\n  big: {top1_drop_vs: little}\n  little: {}\n  less: {top1_drop_vs: bigg, at_most: 1}\n"
        "  lesss: {top1_at_least: 5}\n"
    )
    assert said == [
        "expect.big.top1_drop_vs: goes with at_most. Write {top1_drop_vs: ID, at_most: POINTS}.",
        "expect.little.top1_at_least: nothing is expected. Write for example {top1_at_least: 90}.",
        "expect.less.top1_drop_vs: no step has the id 'bigg'. Did you mean 'big'? Known: big, less, little.",
        "expect.lesss: no step has this id. Did you mean 'less'? Known: big, less, little.",
    ]
    [said] = mistakes(CHAIN + "expect: [small]\n")
    assert said.startswith("expect: ['small'] is not readable.")


def test_written_recipes_give_the_same_steps(here):
    """`strop run` on a config.yaml repeats the run: the resolved step written out is the step."""
    (here / "p").mkdir()
    (here / "p" / "run.json").write_text("{}")
    steps = [
        Train(
            id="a", data="fashion-mini", model="cnn3", lr=1e-3, augment=["hflip:p=0.25"], sparsify="l1:strength=1e-4"
        ),
        Train(id="b", data="fashion-mini", parent="p", teacher="p", distill="kd:temperature=4", augment="none"),
        Prune(id="c", parent="p", macs="50%", criterion="magnitude", round_to=8),
        Quantize(id="d", parent="p", images=64),
        Evaluate(id="e", parent="p", split="test"),
    ]
    settings = [{step.verb: {k: v for k, v in step.settings().items() if v is not None}} for step in steps]
    write_recipe(here / "config.yaml", settings)
    assert Recipe.load(here / "config.yaml").steps == steps


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
awkward = st.sampled_from(
    ["yes", "on", "null", "~", "1e-3", "010", "0x1f", "1_000", "a: b", "- a", "&a", "*a", "#", ""]
)


@given(value=plain | text | awkward)
def test_any_value_survives_writing_and_reading(tmp_path_factory, value):
    """Text that looks like a number stays text, and numbers keep every bit."""
    path = tmp_path_factory.getbasetemp() / "round.yaml"
    write_recipe(path, [{"train": {"x": value}}])
    [step] = read_yaml(path)["steps"]
    assert step["train"]["x"] == value and type(step["train"]["x"]) is type(value)
