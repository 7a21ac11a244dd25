"""Recipes that vary an option: the steps that come of it, what they are called, and how others refer to them."""

import pytest

from strop.errors import UserError
from strop.recipe import Recipe
from strop.recipe.vary import MOST, MOST_STEPS

HEAD = "data: {source: fashion-mini, validation: 10%}\nsteps:\n"
GRID = HEAD + "  - train: {id: scratch, model: cnn3, vary: {input_size: [32, 64], lr: [0.1, 0.01]}}\n"


@pytest.fixture
def load(here):
    """Write a recipe and read it."""

    def read(text, **options):
        (here / "r.yaml").write_text(text, encoding="utf-8")
        return Recipe.load("r.yaml", **options)

    return read


@pytest.fixture
def mistakes(load):
    def collect(text, **options):
        with pytest.raises(UserError) as caught:
            load(text, **options)
        return caught.value.problems

    return collect


def test_a_step_for_each_combination(load):
    """The last option runs fastest; what differs stands in the id, everything else is the same."""
    steps = load(GRID).steps
    assert [(step.id, step.data.input_size, step.lr) for step in steps] == [
        ("scratch-32-0.1", 32, 0.1), ("scratch-32-0.01", 32, 0.01),
        ("scratch-64-0.1", 64, 0.1), ("scratch-64-0.01", 64, 0.01),
    ]  # fmt: skip
    assert {step.data.validation for step in steps} == {"10%"}, "the recipe's data, but for the size"
    written = "  - train: {id: scratch-64-0.1, model: cnn3, lr: 0.1, data: {source: fashion-mini, validation: 10%, "
    assert steps[2] == load(HEAD + written + "input_size: 64}}\n").steps[0], "the same step as written out"


def test_options_of_parts_and_lists_vary_too(load):
    """A part's option by a dot, with its other options kept; words that are no ids are made such."""
    steps = load(
        HEAD + "  - train: {id: sr, model: {squeezenet: {bypass: simple}}, vary: {model.sr: [0.25, 0.5]}}\n"
        "  - train: {id: f, model: resnet18, vary: {freeze: [none, 'stem,layer1', [stem, layer2]]}}\n"
        "  - train: {id: m, vary: {model: [cnn3, {squeezenet: {sr: 0.5}}, 'timm:resnet18']}}\n"
    ).steps
    assert [step.id for step in steps] == [
        "sr-0.25", "sr-0.5", "f-none", "f-stem-layer1", "f-stem-layer2",
        "m-cnn3", "m-squeezenet-sr-0.5", "m-timm-resnet18",
    ]  # fmt: skip
    assert [(s.model.options["sr"], s.model.options["bypass"]) for s in steps[:2]] == [
        (0.25, "simple"),
        (0.5, "simple"),
    ]
    assert [step.freeze for step in steps[2:5]] == [(), ("stem", "layer1"), ("stem", "layer2")]


def test_later_steps_refer_to_one_or_to_all(load):
    """One by its id, all in a list by the step's, and a step for each by `vary: {parent: ID}`."""
    steps = load(
        GRID + "  - prune: {id: one, parent: scratch-32-0.01, params: 50%}\n"
        "  - evaluate: {id: tested, vary: {parent: scratch}, split: test}\n"
        "  - evaluate: {id: again, vary: {parent: [one, scratch-64-0.1]}}\n"
        "  - bench: {id: bench, parents: [scratch, one]}\n"
    ).steps
    assert steps[4].parent == "scratch-32-0.01"
    assert [(step.id, step.parent) for step in steps[5:9]] == [
        (f"tested-{rest}", f"scratch-{rest}") for rest in ("32-0.1", "32-0.01", "64-0.1", "64-0.01")
    ]
    assert [step.id for step in steps[9:11]] == ["again-one", "again-scratch-64-0.1"]
    assert steps[-1].parents == [step.id for step in steps[:4]] + ["one"]


def test_a_varied_step_is_no_single_parent(mistakes):
    """What to write instead is said, with all the ids."""
    assert mistakes(GRID + "  - prune: {id: one, parent: scratch, params: 50%}\n") == [
        "steps[1].prune.parent: 'scratch' stands for scratch-32-0.1, scratch-32-0.01, scratch-64-0.1, "
        "scratch-64-0.01. Name one of them, or write vary: {parent: scratch} for a step for each."
    ]


def test_mistakes_are_said_once_and_where_they_were_written(mistakes):
    """A wrong value of a list once, not once for each of its combinations; an unknown option with a suggestion."""
    [said] = mistakes(GRID.replace("[32, 64]", "[32, big]"))
    assert said.startswith("steps[0].train.vary.input_size: 'big' is not a whole number.")
    [said] = mistakes(GRID.replace("input_size", "input_sizes"))
    assert said.startswith(
        "steps[0].train.vary.input_sizes: is no option that can be varied. Did you mean 'input_size'?"
    )
    [said] = mistakes(GRID.replace("10%", "10"))
    assert said.startswith("data.validation: '10' is no share")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("id: a, model: cnn3, vary: {lr: 0.1}", "steps[0].train.vary.lr: 0.1 is no list of values."),
        ("id: a, model: cnn3, vary: {lr: []}", "steps[0].train.vary.lr: [] is no list of values."),
        ("id: a, model: cnn3, vary: [lr]", "steps[0].train.vary: ['lr'] is not readable."),
        ("model: cnn3, vary: {lr: [1, 2]}", "steps[0].train.vary: the step needs an id"),
        ("id: a, model: cnn3, vary: {id: [b, c]}", "steps[0].train.vary.id: is no option that can be varied."),
        ("id: a, model: cnn3, vary: {seed: [1, 1]}", "steps[0].train.id: 'a-1' is taken by an earlier step."),
    ],
)
def test_what_can_not_be_varied(mistakes, written, said):
    found = mistakes(HEAD + f"  - train: {{{written}}}\n  - quantize: {{id: q, parent: a-0.1}}\n")
    assert found[0].startswith(said)


def test_the_number_of_combinations_is_bounded(mistakes):
    """9 * 9 are too many for one step, and so are ten such steps for a recipe; nothing of that size is built."""
    numbers = str(list(range(9)))
    [said] = mistakes(HEAD + f"  - train: {{id: a, model: cnn3, vary: {{seed: {numbers}, epochs: {numbers}}}}}\n")
    assert said.startswith(f"steps[0].train.vary: 81 combinations; at most {MOST}.")
    step = "  - train: {id: %s, model: cnn3, vary: {seed: " + str(list(range(60))) + "}}\n"
    said = mistakes(HEAD + "".join(step % f"s{n}" for n in range(9)))
    assert f"steps: 540 with all combinations; at most {MOST_STEPS}. Write two recipes." in said


def test_set_reaches_all_or_one(load):
    """The id as it is written changes all; a member's id that one."""
    steps = load(GRID, changes={"scratch.epochs": "3", "scratch-64-0.1.epochs": "5", "data.validation": "20%"}).steps
    assert [step.epochs for step in steps] == [3, 3, 5, 3] and steps[3].data.validation == "20%"


def test_only_takes_all_members(load, monkeypatch, here):
    """`--only scratch` runs the four; an unknown id names them."""
    from strop import Train
    from strop.runs import Run

    ran = []
    monkeypatch.setattr(Train, "execute", lambda step, *, root: ran.append(step.id) or Run(here))
    recipe = load(GRID + "  - train: {id: other, model: cnn2}\n")
    recipe.run(only="scratch")
    assert ran == recipe.grids["scratch"] and len(ran) == 4
    with pytest.raises(UserError, match="--only scrach: no step has this id. Did you mean 'scratch'"):
        recipe.run(only="scrach")


def test_defaults_hold_where_a_step_says_nothing(load):
    """By verb; a step's own option goes first."""
    head = "data: fashion-mini\ndefaults:\n  train: {epochs: 3, batch_size: 64}\n  prune: {epochs: 2}\nsteps:\n"
    steps = load(
        head + "  - train: {id: a, model: cnn3}\n  - train: {id: b, model: cnn3, epochs: 9}\n"
        "  - prune: {id: c, parent: a, params: 50%}\n"
    ).steps
    assert [(step.epochs, step.batch_size) for step in steps] == [(3, 64), (9, 64), (2, None)]


def test_wrong_defaults_are_told(mistakes):
    said = mistakes(
        "data: fashion-mini\ndefaults:\n  train: {epoch: 3}\n  trian: {}\n  prune: {id: a}\nsteps:\n"
        "  - train: {id: a, model: cnn3}\n"
    )
    assert said[0].startswith("defaults.train.epoch: unknown option. Did you mean 'epochs'?")
    assert said[1].startswith("defaults.trian: no step is called so. Did you mean 'train'?")
    assert said[2] == "defaults.prune: id, out and vary belong to one step. Write them there."


def test_data_takes_the_place_of_every_set(load):
    """In the recipe's block and in those of its steps; how they are divided and their size stay."""
    text = HEAD + "  - train: {id: a, model: cnn3}\n"
    text += "  - train: {id: b, model: cnn3, data: {source: cifar10, input_size: 48}}\n"
    text += "  - train: {id: c, model: cnn3, data: cifar100}\n"
    a, b, c = (step.data for step in load(text, data="photos").steps)
    assert (a.source, b.source, c.source) == ("photos",) * 3
    assert a.validation == "10%" and b.input_size == 48
    assert load("steps:\n  - train: {id: a, model: cnn3}\n", data="photos").steps[0].data.source == "photos"
