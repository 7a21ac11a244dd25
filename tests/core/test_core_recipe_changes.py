"""What --set and --skip make of a recipe: which options win, what else goes, and what is said of wrong ones."""

import pytest

from strop.errors import UserError
from strop.recipe import Recipe

TEXT = """\
data: {source: fashion-mini, validation: 10%}
defaults:
  train: {epochs: 9, lr: 0.02}
steps:
  - train: {id: big, model: cnn5, epochs: 3}
  - train: {id: little, model: cnn2, teacher: big}
  - train: {id: sizes, model: cnn3, vary: {input_size: [32, 64]}}
  - prune: {id: less, parent: little, params: 50%}
  - quantize: {id: int8, vary: {parent: [less, sizes]}}
  - bench: {id: times, parents: [big, little, int8]}
expect:
  less: {top1_drop_vs: little, at_most: 5}
  sizes-32: {top1_at_least: 1}
"""


@pytest.fixture
def load(here):
    def read(*changes, skip=()):
        (here / "r.yaml").write_text(TEXT, encoding="utf-8")
        given = dict(change.partition("=")[::2] for change in changes)
        recipe = Recipe.load("r.yaml", changes=given, skip=skip)
        return recipe, {step.id: step for step in recipe.steps}

    return read


@pytest.fixture
def mistakes(load):
    def collect(*changes, skip=()):
        with pytest.raises(UserError) as caught:
            load(*changes, skip=skip)
        return caught.value.problems

    return collect


def test_defaults_lie_under_what_a_step_says(load):
    """Of all trainings only the one that names its epochs keeps them; --set of a step wins over both."""
    _, steps = load("defaults.train.epochs=6", "defaults.prune.epochs=2")
    found = {name: steps[name].epochs for name in ("big", "little", "sizes-64", "less")}
    assert found == {"big": 3, "little": 6, "sizes-64": 6, "less": 2}
    assert steps["little"].lr == 0.02, "the other defaults stay"
    _, steps = load("defaults.train.epochs=6", "big.epochs=1", "little.epochs=2")
    assert (steps["big"].epochs, steps["little"].epochs) == (1, 2)


def test_a_dot_reaches_into_data_and_parts(load):
    """The step gets its own data, which are the recipe's but for what is set; the recipe's own stay."""
    _, steps = load("big.data.input_size=32", "sizes-64.data.validation=20%")
    assert (steps["big"].data.input_size, steps["big"].data.validation) == (32, "10%")
    assert steps["little"].data.input_size is None
    assert (steps["sizes-64"].data.validation, steps["sizes-64"].data.input_size) == ("20%", 64)
    assert steps["sizes-32"].data.validation == "10%"


def test_a_model_and_its_options(load):
    """A model by name, then an option of it."""
    _, steps = load("big.model=squeezenet", "big.model.sr=0.5")
    assert (steps["big"].model.name, steps["big"].model.options["sr"]) == ("squeezenet", 0.5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("defaults.trian.epochs=6", "--set defaults.trian.epochs: 'trian' is no step that has defaults."),
        ("defaults.train=6", "--set defaults.train: has no option. Write --set defaults.train.OPTION=VALUE."),
        ("defaults.train.epoch=6", "defaults.train.epoch: unknown option. Did you mean 'epochs'?"),
        ("defaults=6", "--set defaults: '' is no step that has defaults."),
        ("big.data.input_sizes=6", "--set big.data.input_sizes: is no option that can be set."),
        ("less.data.input_size=6", "--set less.data.input_size: is no option that can be set."),
    ],
)
def test_what_can_not_be_set(mistakes, change, said):
    [line] = mistakes(change)
    assert line.startswith(said)


def test_what_is_skipped_takes_along_what_begins_with_it(load):
    """Without the student: nothing pruned of it, no int8 of that, a shorter bench, and nothing expected of it."""
    recipe, steps = load(skip=["little"])
    assert list(steps) == ["big", "sizes-32", "sizes-64", "int8-sizes-32", "int8-sizes-64", "times"]
    assert steps["times"].parents == ["big", "int8-sizes-32", "int8-sizes-64"]
    assert recipe.grids == {"sizes": ["sizes-32", "sizes-64"], "int8": ["int8-sizes-32", "int8-sizes-64"]}
    assert list(recipe.expect) == ["sizes-32"]


def test_teachers_and_grids_are_skipped_too(load):
    """A student has no teacher left; a grid goes whole or by a member; an empty bench goes."""
    assert "little" not in load(skip=["big"])[1]
    recipe, steps = load(skip=["sizes"])
    assert [name for name in steps if "sizes" in name] == [] and "sizes" not in recipe.grids
    assert [name for name in load(skip=["sizes-32"])[1] if "sizes" in name] == ["sizes-64", "int8-sizes-64"]
    assert "times" not in load(skip=["big", "little", "int8"])[1]


def test_a_skipped_name_that_nobody_has(mistakes):
    assert mistakes(skip=["litle"])[0].startswith("--skip litle: no step has this id. Did you mean 'little'?")


def test_only_takes_several(load):
    with pytest.raises(UserError, match="--only litle: no step has this id"):
        load()[0].run(only="big, litle")
