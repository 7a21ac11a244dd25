"""The documentation is true as far as a parser can tell: commands, options, recipes and messages are those there are.

Nothing is trained. A command is parsed, and its options are checked as the command line checks them, up to the point
where the first file would be opened.
"""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from strop.cli import app, main
from strop.flags import read_step, split_unknown
from strop.steps import VERBS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [page for page in PAGES if page.name != "log.md"]  # what was typed on its day stays as it was
OF_OTHERS = {"--help", "--max-restarts"}  # of every command; torchrun's
ENDS_A_COMMAND = {"|", ">", ">>", "<", ";", "&&"}


def typed(page: Path) -> list[list[str]]:
    """The words of each `strop ...` command in the blocks of a page; `torchrun ... -m strop` is one too."""
    found = []
    for line in page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if not re.match(r"(    |\$ )", line) and not line.startswith("srun "):
            continue
        lexer = shlex.shlex(line.strip().removeprefix("$ "), posix=True, punctuation_chars="|<>;&")
        lexer.whitespace_split = True
        words = list(lexer) if "strop" in line else []
        for start, word in enumerate(words):
            if word == "strop" and (start == 0 or words[start - 1] in {"-m", "|"}):
                end = next((at for at, word in enumerate(words) if at > start and word in ENDS_A_COMMAND), None)
                found.append([word for word in words[start + 1 : end] if word != "..."])
    return found


COMMANDS = [(page.stem, words) for page in PAGES for words in typed(page)]
WRONG_ON_PURPOSE = [words for _, words in COMMANDS if "--modle" in words]


def test_commands_are_found():
    """Pages that show commands by the dozen; a change of their layout must not empty the tests below."""
    pages = [page for page, _ in COMMANDS]
    assert pages.count("README") >= 20 and {"training", "compare", "deploying", "data"} <= set(pages)
    assert len(WRONG_ON_PURPOSE) == 1


@pytest.mark.parametrize("page, words", COMMANDS, ids=[f"{page}: {' '.join(words)}" for page, words in COMMANDS])
def test_command_can_be_typed(page, words):
    """The verb, all options and their values pass what checks them on the command line."""
    if words in WRONG_ON_PURPOSE:
        pytest.skip("shown for its message, which is held below")
    verb, rest = words[0], words[1:]
    assert verb in app, f"there is no strop {verb}"
    if verb not in VERBS:
        app.parse_args(words, exit_on_error=False, print_error=False)
        return
    rest, unknown = split_unknown(verb, rest)
    _, bound, unused, _ = app.parse_known_args([verb, *rest])
    assert not unused
    read_step(verb, bound.arguments, unknown)


@cache
def options() -> dict[str, set[str]]:
    """The options of each verb."""
    verbs = [name for name in app if not name.startswith("-")]
    return {
        verb: {name for found in app[verb].assemble_argument_collection() for name in found.names} for verb in verbs
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_options_in_the_text_exist(page):
    """An option in backticks is one of some command; behind `strop VERB`, of that one."""
    anywhere = set().union(*options().values()) | OF_OTHERS
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    wrong = []
    for span in re.findall(r"`([^`\n]+)`", text):
        verb = re.match(r"strop (\w+)", span)
        said = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", span))
        wrong += sorted(said - (options().get(verb[1], set()) | OF_OTHERS if verb else anywhere))
    assert wrong == []


def test_recipes_in_the_text_are_valid(tmp_path):
    from strop import Recipe

    blocks = [block for page in PAGES for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)]
    whole = [block for block in blocks if "\nsteps:" in block or block.startswith("steps:")]
    assert len(whole) >= 2
    for number, block in enumerate(whole):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block, encoding="utf-8")
        assert Recipe.load(path).steps


def test_the_message_in_the_readme_is_the_one_that_is_given(capsys):
    """Line by line; `...` stands for what is left out."""
    text = PAGES[0].read_text(encoding="utf-8")
    [(command, shown)] = re.findall(r"    \$ strop (.*--modle.*)\n((?:    .*\n)+)", text)
    assert main(shlex.split(command)) == 2
    said = capsys.readouterr().err
    for line in shown.splitlines():
        pattern = re.escape(line.strip()).replace(re.escape("..."), ".*")
        assert re.search(pattern, said), (line, said)
