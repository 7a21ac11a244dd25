"""Errors: the text a user reads, and the exit code that belongs to it."""

import signal

import pytest

from strop import errors
from strop.errors import GateFailed, Interrupted, RunFailed, StropError, UserError, suggest


def test_exit_codes_are_those_of_the_contract():
    """DESIGN, section 5: 0 done, 1 failed, 2 wrong input, 3 gate, 4 audit, 130 and 143 for signals."""
    codes = [errors.DONE, errors.FAILED, errors.WRONG_INPUT, errors.GATE_NOT_HELD, errors.AUDIT_ERRORS]
    assert codes == [0, 1, 2, 3, 4]
    assert (RunFailed("").code, UserError("", "").code, GateFailed("").code) == (1, 2, 3)
    assert Interrupted(signal.SIGINT, "").code == errors.INTERRUPTED == 130
    assert Interrupted(signal.SIGTERM, "").code == errors.TERMINATED == 143


@pytest.mark.parametrize("kind", [RunFailed, UserError, GateFailed, Interrupted])
def test_all_are_strop_errors(kind):
    """The command line catches one class, and nothing that it does not know."""
    assert issubclass(kind, StropError) and not issubclass(kind, ValueError)


def test_one_problem_is_one_line():
    """A single mistake stands on the line of its place."""
    assert str(UserError("a.yaml", "is not valid.")) == "a.yaml: is not valid."


def test_several_problems_are_counted_and_listed():
    """Every mistake has its line, and the first line says how many and that nothing was run."""
    error = UserError("a.yaml", "one.", "two.", "three.")
    assert str(error).splitlines() == ["a.yaml: 3 problems, nothing was run", "  one.", "  two.", "  three."]
    assert error.problems == ["one.", "two.", "three."] and error.where == "a.yaml"


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("epoch", ["model", "epochs"], "Did you mean 'epochs'? Known: epochs, model."),
        ("int7", ["int8"], "Did you mean 'int8'? Known: int8."),
        ("zebra", ["epochs", "model"], "Known: epochs, model."),
    ],
)
def test_suggest_guesses_only_what_is_near(name, known, said):
    """The nearest name is proposed; a name that is near to none gets the list alone."""
    assert suggest(name, known) == said


def test_suggest_cuts_a_long_list_without_hiding_it():
    """Twelve names, then three dots and no fourth; the guess is from all names."""
    known = [f"option{i:02}" for i in range(20)]
    said = suggest("option19x", known)
    assert said.startswith("Did you mean 'option19'? Known: option00, ")
    assert said.endswith("option11, ...") and said.count("option") == 13
    assert suggest("x", known[:12]).endswith("option11.")
