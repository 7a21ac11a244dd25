"""The README is true: its Python runs, and the commands it shows exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_python_example_runs(tmp_path):
    """The block is run as it stands, in an empty folder; it prints an interval and three rows."""
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    lines = [line for line in code.splitlines() if line and not line.startswith("#")]
    assert len(lines) <= 12, "it is meant to be short"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    interval, rows = done.stdout.splitlines()
    assert interval.count(",") == 1 and rows.count("cnn3") == 3


def test_commands_and_options_exist():
    """Every `strop ...` line of the README parses: its verb is known, and so are its options."""
    from strop.cli import app
    from strop.flags import split_unknown
    from strop.steps import VERBS

    commands = [line.split("#")[0].split() for line in TEXT.splitlines() if line.startswith("    strop ")]
    assert len(commands) >= 9
    for _, verb, *words in commands:
        assert verb in app
        if verb in VERBS:
            assert split_unknown(verb, words)[1] == []


def test_links_lead_somewhere():
    """Every relative link and picture is a file of the project."""
    links = re.findall(r"\]\((?!http)([^)#]+)\)", TEXT)
    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []


def test_recipe_is_valid(tmp_path):
    """The YAML block loads; its steps are those that the text speaks of."""
    from strop import Recipe

    (text,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    assert [step.verb for step in Recipe.load(path).steps] == ["train", "prune", "quantize", "export"]


@pytest.mark.parametrize("file", sorted((README.parent / "recipes").glob("*.yaml")), ids=lambda file: file.stem)
def test_recipes_load(file):
    """Every recipe of the project is valid and short enough to read at once."""
    from strop import Recipe

    assert Recipe.load(file).steps
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 40
