"""`strop ladder`: the recipe that it writes, what it does where one is there, and its messages."""

import pytest

from strop.recipe import Recipe
from strop.recipe.ladder import Ladder


def options(**more):
    about = {
        "data": "fashion-mini", "model": "resnet18", "teacher": "resnet50", "budgets": ("50%", "9%"), "epochs": 12,
        "rounding": 2, "validation": "5%", "input_size": None, "more": {"pretrained": False, "seed": 0},
    }  # fmt: skip
    return about | more


def test_the_recipe_holds_every_rung(here):
    """Teacher, student, budgets, int8 of each, QAT of the smallest; each exported, all in one bench."""
    recipe = Recipe.load(Ladder(**options()).write(here / "l"))
    made = {step.id: step for step in recipe.steps}
    assert list(made) == [
        "teacher", "student", "pruned-50", "pruned-9", "int8-student", "int8-pruned-50", "int8-pruned-9",
        "pruned-9-qat", "file-teacher", "file-student", "file-pruned-50", "file-pruned-9", "file-int8-student",
        "file-int8-pruned-50", "file-int8-pruned-9", "file-pruned-9-qat", "bench",
    ]  # fmt: skip
    assert made["student"].teacher == made["pruned-9"].teacher == made["pruned-9-qat"].teacher == ["teacher"]
    assert (made["pruned-9"].params.text, made["pruned-9"].epochs) == ("9%", 8)
    assert made["pruned-9-qat"].epochs == 2 and made["int8-pruned-9"].epochs is None
    assert made["bench"].parents == [name for name in made if name.startswith("file-")]


def test_odd_names_survive_the_recipe(here):
    """Texts that YAML would read as something else, or as structure, come back as they are."""
    data = "a: b, {c} # 'd' \"e\""
    for number, source in enumerate((data, "010", "yes", "1e3", "~")):
        path = Ladder(**options(data=source, model="squeezenet:sr=0.5", rounding=0)).write(here / str(number))
        student = next(step for step in Recipe.load(path).steps if step.id == "student")
        assert student.data.source == source and student.model.options["sr"] == 0.5


def test_a_recipe_that_was_edited_is_not_overwritten(strop, here):
    """The same options go on; others are refused, and the file stays as the user left it."""
    words = ("ladder", "fashion-mini", "--model", "cnn3", "--teacher", "cnn5", "--dry-run")
    assert strop(*words)[0] == strop(*words)[0] == 0
    path = here / "runs" / "ladder-fashion-mini" / "ladder.yaml"
    path.write_text(path.read_text().replace("epochs: 12", "epochs: 30"))
    edited = path.read_text()
    code, _, err = strop(*words)
    assert code == 2 and "says something else than these options. Run it with `strop run" in err
    assert path.read_text() == edited


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--budgets", "9"), "'9' is ambiguous. For a share write 9%"),
        (("--budgets", ","), "--budgets: ',' names none. Write for example 50%,25%,9%."),
        (("--model", "resnet81"), "'resnet81' is unknown."),
        (("--augment", "lihgt"), "'lihgt' is not a known augmentation."),
        (("--batch-size", "many"), "'many' is neither auto nor a whole number."),
    ],
)
def test_wrong_options_leave_nothing_behind(strop, here, words, said):
    """So that the corrected command finds no recipe of the wrong one."""
    code, _, err = strop("ladder", "fashion-mini", *words)
    assert code == 2 and said in err
    assert not list(here.rglob("ladder.yaml"))


def test_a_teacher_that_is_there_is_taken(here):
    """A run folder is no step again: it teaches, and is exported like the others."""
    (here / "old").mkdir()
    (here / "old" / "run.json").write_text("{}")
    recipe = Recipe.load(Ladder(**options(teacher="old", rounding=0)).write(here / "l"))
    made = {step.id: step for step in recipe.steps}
    assert "teacher" not in made and made["student"].teacher == [str(here / "old")]
