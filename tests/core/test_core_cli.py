"""The command line: exit codes, one clear message, nothing written, no torch before work."""

import json
import logging
import os
import re
import subprocess
import sys
import time

import pytest
from PIL import Image

from strop.cli import _Lines, app, main
from strop.flags import _flat_fields
from strop.grouping import OF_TRAININGS
from strop.steps import VERBS, step_class
from strop.steps.options import DataConfig, TrainingOptions
from strop.steps.step import Step
from strop.steps.train import Train

COMMANDS = ["train", "prune", "quantize", "export", "evaluate", "bench", "predict", "compare", "report", "run", "demo"]
COMMANDS += ["models", "audit", "info", "crossval", "verify", "diff", "ladder"]


def pictures(folder, *classes: str) -> None:
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(2):
            Image.new("L", (16, 16), 40 * i).save(folder / name / f"{i}.png")


def test_an_unknown_command_gets_a_suggestion(refused):
    """The nearest command, and all of them."""
    said = refused("trian", "data")
    assert said.startswith("error: strop: 'trian' is not a command. Did you mean 'train'? Known: ")
    assert all(command in said for command in COMMANDS)


def test_all_unknown_options_are_reported_at_once(refused):
    """Two misspelt options are two problems, and a misspelt --model is not a missing model as well."""
    lines = refused("train", "fashion-mini", "--epoch", "3", "--modl=cnn3", "--lr", "fast").splitlines()
    assert lines[0] == "error: strop train: 3 problems, nothing was run"
    assert lines[1].startswith("  --epoch: unknown option. Did you mean '--epochs'?")
    assert lines[2].startswith("  --modl: unknown option. Did you mean '--model'?")
    assert lines[3] == "  --lr: 'fast' is not a number. Write for example 0.05 or 1e-3."
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "fashion-mini", "more", "--model", "cnn3"], "strop train: 'more': unexpected argument."),
        (["train", "fashion-mini", "--model"], "strop train: "),
        (["compare"], "runs: no run folders given. Write for example runs/*"),
        (["compare", "nothing"], "runs: 'nothing' is not there."),
        (
            ["compare", ".", "--format", "xml"],
            "--format xml: is not an option. Known: csv, html, json, latex, mark",
        ),
        (["compare", "--fromat", "csv"], "strop compare: Unknown option: --fromat. Did you mean --format?"),
        (["report"], "runs: no run folders given."),
        (["models", "nonesuch"], "strop models nonesuch: no network has such a name."),
        (["run", "none.yaml"], "none.yaml: no such file. Give a recipe in YAML."),
        (["evaluate", "nothing"], "nothing: is not a run folder"),
        (["prune", "nothing", "--params", "9%"], "nothing: is not a run folder"),
        (["predict", "nothing", "x.png"], "predict: x.png: no such file or folder."),
        (["bench"], "strop bench: PARENTS: is missing"),
    ],
)
def test_wrong_words(refused, words, said):
    """Each is refused before anything is done, with the place first."""
    assert refused(*words).startswith(f"error: {said}")


def test_data_folders_that_are_none(refused, here):
    """Missing, empty, one class, a text file called .jpg: each named, none of them after torch or a run folder."""
    (here / "empty").mkdir()
    pictures(here / "one", "cat")
    pictures(here / "liar", "cat", "dog")
    (here / "liar" / "cat" / "2.jpg").write_text("this is no picture")
    train = lambda folder: refused("train", folder, "--model", "cnn3")  # noqa: E731
    assert "missing: there is no such folder, and no data set of that name." in train("missing")
    assert "the folder is empty. A data folder holds one folder a class" in train("empty")
    assert "there is only one class, 'cat'. Telling apart needs at least two." in train("one")
    assert "'cat/2.jpg' is no picture: it is text" in train("liar")


def test_an_unknown_model_gets_a_suggestion(refused):
    """Among 1,400 networks the near ones are shown, and the command that lists them all."""
    said = refused("train", "fashion-mini", "--model", "resnet81")
    assert said.startswith("error: strop train: --model: 'resnet81' is unknown. Did you mean 'resnet18'?")
    assert "`strop models` lists all" in said


def test_a_recipe_with_three_mistakes_runs_nothing(refused, here):
    """All three are listed, although the first step is right."""
    (here / "broken.yaml").write_text(
        "data: fashion-mini\nsteps:\n  - train: {id: a, model: cnn3, epochs: 1}\n"
        "  - train: {id: b, model: cnn3, epoch: 1}\n  - prune: {id: c, parent: a, params: 50}\n"
        "  - quantize: {id: d, parent: a, scheme: int7}\n"
    )
    lines = refused("run", "broken.yaml").splitlines()
    assert lines[0] == "error: broken.yaml: 3 problems, nothing was run"
    assert [line.split(": ")[0] for line in lines[1:]] == [
        "  steps[1].train.epoch", "  steps[2].prune.params", "  steps[3].quantize.scheme",
    ]  # fmt: skip
    assert refused("run", "broken.yaml", "--set", "a.epochs") == (
        "error: strop run: --set a.epochs: has no value. Write --set ID.option=value.\n"
    )


def test_a_foreign_out_is_left_alone(refused, here, make_run):
    """A file or a folder with something in it is neither written to nor removed, by no command."""
    (here / "mine").mkdir()
    (here / "mine" / "thesis.tex").write_text("years")
    (here / "page.html").write_text("mine")
    (here / "recipe.yaml").write_text("data: fashion-mini\nsteps:\n  - train: {model: cnn3}\n")
    make_run("runs/a")
    for out in ("mine", "page.html"):
        said = refused("train", "fashion-mini", "--model", "cnn3", "--out", out)
        assert f"--out {out}: the folder is there and holds something else" in said
        assert f"error: --out {out}: " in refused("compare", "runs/a", "--out", out)
        assert f"error: --out {out}: " in refused("report", "runs/a", "--out", out)
    assert "--out page.txt: is no page's name. Write for example page.html." in refused(
        "report", "runs/a", "--out", "page.txt"
    )
    assert "can't be made" in refused("train", "fashion-mini", "--model", "cnn3", "--out", "page.html/run")


@pytest.mark.parametrize("verb", VERBS)
def test_help_lists_every_field(strop, verb):
    """Each field of a step is in its help, with its example; the common ones come last."""
    code, out, _ = strop(verb, "--help")
    step = step_class(verb)
    assert code == 0 and "Example: strop" in out and "--json" in out
    for name in step.model_fields:
        shown = name.upper() if name in step.positional else "--" + name.replace("_", "-")
        assert shown in out, shown
    assert max(map(len, out.splitlines())) <= 80
    if verb in ("train", "prune"):
        own = "--model" if verb == "train" else "--params"
        assert out.index(own) < out.index("--epochs") < out.index("--validation" if verb == "train" else "--data")
        assert out.index("--epochs") < out.index("--seed") < out.index("--json")


@pytest.mark.parametrize("verb", VERBS)
def test_help_says_every_default(strop, verb):
    """[default: ...] once for each option that is no switch, and the value of the field where it is a plain one."""
    _, out, _ = strop(verb, "--help")
    fields = {
        name: field for name, field in _flat_fields(step_class(verb)).items() if name not in step_class(verb).positional
    }
    said = " ".join(out[out.index("╭") :].replace("│", " ").split())  # behind the example
    assert said.count("[default: ") == sum(field.annotation is not bool for field in fields.values())
    for name, field in fields.items():
        told = re.search(rf" --{name.replace('_', '-')} .*?\[default: (.*?)\]", said)
        if (
            isinstance(field.default, int | float)
            and field.annotation is not bool
            and "default" not in field.description
        ):
            assert told[1] == "false" if field.default is False else float(told[1]) == field.default, name


def test_options_of_trainings_are_all_in_groups():
    """Each of `TrainingOptions` and of the data has one place, and each place is a field of some training."""
    listed = [name for names in OF_TRAININGS.values() for name in names.split()]
    known = TrainingOptions.model_fields.keys() | DataConfig.model_fields.keys() | Train.model_fields.keys()
    assert len(listed) == len(set(listed)) and set(listed) == known - Step.model_fields.keys() - {"source"}


def test_the_commands_are_those_of_the_contract(strop):
    """All verbs that exist, each with an example in its help."""
    assert sorted(name for name in app if not name.startswith("-")) == sorted(COMMANDS)
    for command in COMMANDS:
        assert "Example: strop" in strop(command, "--help")[1], command


def test_version_is_the_package_version(strop):
    """One number, on stdout."""
    from strop import __version__

    assert strop("--version") == (0, f"{__version__}\n", "")


def one_object(out: str) -> dict:
    """The JSON object that is all of the output."""
    value, end = json.JSONDecoder().raw_decode(out)
    assert isinstance(value, dict) and out[end:].strip() == ""
    return value


@pytest.mark.parametrize(
    ("words", "key"), [(["models", "cnn3"], "models"), (["compare", "a"], "rows"), (["report", "a"], "report")]
)
def test_json_is_one_object_on_stdout(strop, make_run, words, key):
    """Nothing else stands on stdout, so that it can be piped."""
    make_run("a")
    code, out, _ = strop(*words, "--json")
    assert code == 0 and key in one_object(out)


@pytest.mark.slow
def test_json_of_steps_is_one_object_on_stdout(strop, here):
    """The log of a training goes to stderr, and all that stdout gets is the result."""
    pictures(here / "data", "cat", "dog")
    code, out, err = strop(
        "train", "data", "--model", "cnn2", "--epochs", "1", "--validation", "50%", "--precision", "fp32", "--json"
    )
    assert code == 0, err
    said = one_object(out)
    assert said["verb"] == "train" and said["result"] == json.loads((here / said["run"] / "result.json").read_text())
    assert "1/1" in err
    (here / "r.yaml").write_text("steps:\n  - evaluate: {id: e, parent: runs/cnn2}\n")
    code, out, err = strop("run", "r.yaml", "--json")
    assert code == 0 and one_object(out) == {"runs": ["runs/r/e"]}


def test_an_error_leaves_stdout_empty_with_json(refused):
    """A program that reads stdout sees nothing, and the exit code."""
    refused("train", "fashion-mini", "--model", "resnet81", "--json")


def test_interruption_has_its_own_exit_code(monkeypatch, capsys):
    """Ctrl-C is 130 and no traceback."""
    monkeypatch.setattr("strop.cli._dispatch", lambda words: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main(["models"]) == 130
    assert capsys.readouterr().err == "interrupted; the same command goes on where it stopped\n"


def test_the_list_of_networks_fits_80_columns(capsys):
    """Every one of them; sizes are those of the index, and where weights come from is said."""
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 1400 and max(map(len, lines)) <= 80
    resnet = next(line.split() for line in lines if line.startswith("resnet18 "))
    assert resnet == ["resnet18", "11.69", "1.814", "224", "tv", "torchvision"]
    cnn = next(line.split() for line in lines if line.startswith("cnn3 "))
    assert cnn == ["cnn3", "1.091", "0.008806", "32", "own", "none"]


def test_the_log_does_not_pile_up(capsys):
    """Two commands in one process print each line once."""
    main(["models", "cnn3"])
    main(["models", "cnn3"])
    assert len(logging.getLogger("strop").handlers) == 1


NO_TORCH = [
    ["--help"],
    ["train", "--help"],
    ["models", "resnet18"],
    ["compare", "a", "b"],
    ["compare", "a", "b", "--json"],
    ["diff", "a", "b"],
    ["report", "a", "b"],
    ["train", "fashion-mini", "--model", "resnet81", "--epoch", "3"],
    ["train", "missing", "--model", "cnn3"],
    ["train", "fashion-mini", "--model", "cnn3", "--out", "a"],
    ["run", "broken.yaml"],
    ["prune", "missing", "--params", "9%"],
    ["predict", "missing", "x.png"],
    ["predict", "a", "x.png"],
    ["evaluate", "missing"],
    ["bench", "missing"],
]


@pytest.mark.parametrize("words", NO_TORCH, ids=" ".join)
def test_no_torch_before_work(python, make_run, here, words):
    """Help, listings, comparisons and every refusal come without the seconds that torch takes to import."""
    make_run("a")
    make_run("b")
    (here / "broken.yaml").write_text("data: fashion-mini\nsteps:\n  - train: {id: a, model: cnn3, epoch: 1}\n")
    said = python(
        "import json, sys\nfrom strop.cli import main\n"
        f"try: code = main({words!r})\nexcept SystemExit as stop: code = stop.code\n"
        "heavy = ('torch', 'torchvision', 'timm', 'onnx', 'onnxruntime', 'sklearn', 'scipy')\n"
        "print('\\n' + json.dumps([code, [name for name in heavy if name in sys.modules]]))"
    )
    code, loaded = json.loads(said.splitlines()[-1])
    assert loaded == []
    refusal = words[0] not in ("models", "compare", "diff", "report") and "--help" not in words
    assert code in ((2,) if refusal else (0, None))


def test_help_is_there_at_once():
    """Under 0.4 s, best of five to fifteen; waiting for a busy machine is not held against it, processor time is."""
    took = []
    for _ in range(15):
        start, before = time.perf_counter(), os.times()
        subprocess.run([sys.executable, "-m", "strop", "--help"], check=True, capture_output=True)
        wall, after = time.perf_counter() - start, os.times()
        used = after.children_user - before.children_user + after.children_system - before.children_system
        took.append(min(wall, used))
        if len(took) >= 5 and min(took) < 0.4:
            return
    raise AssertionError(f"the best of {len(took)} took {min(took):.2f} s")


def test_a_log_that_nobody_reads_any_more_stops_nothing(capfd):
    """After the reader of a pipe has gone, lines go nowhere, without a word on standard error."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1) as stream:
        lines = _Lines(stream)
        for number in range(3):
            lines.emit(logging.makeLogRecord({"msg": f"epoch {number}"}))
        print("what is printed afterwards", file=stream)
    assert capfd.readouterr() == ("", "")


def test_messages_fit_the_terminal_and_nothing_else(strop, monkeypatch, here):
    """No line is wider than the terminal and no word is lost; without one each problem has one line, to be searched."""
    words = ("train", "nowhere", "--modle", "resnet18", "--epochs", "ten", "--device", "gpu", "--augment", "nonesuch")
    _, _, whole = strop(*words)
    assert max(map(len, whole.splitlines())) > 100
    monkeypatch.setenv("COLUMNS", "70")
    _, _, narrow = strop(*words)
    assert max(map(len, narrow.splitlines())) <= 70
    assert narrow.split() == whole.split()
    problems = [line for line in narrow.splitlines() if not line.startswith("    ")]
    assert len(problems) == len(whole.splitlines()), "what goes on is set in"
