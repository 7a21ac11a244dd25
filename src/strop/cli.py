"""The command line: with `printing` the only place that parses arguments, prints and exits."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from importlib import resources
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from . import __version__
from .comparing import compare, diff, print_table, run_folders
from .errors import (
    DONE,
    FAILED,
    INTERRUPTED,
    TERMINATED,
    Interrupted,
    StropError,
    Terminated,
    UserError,
    suggest,
)
from .flags import DryRunFlag, JsonFlag, SmokeFlag, make_command, read_step, split_unknown, usage
from .grouping import OWN
from .launch import first_speaks, rank, who
from .planning import print_plan, shrink
from .printing import list_models, print_result, wrapped
from .steps import VERBS
from .train.signals import terminating_like_ctrl_c

log = logging.getLogger("strop")
app = App(
    name="strop",
    version=__version__,
    version_flags=["--version"],
    help_format="plaintext",
    group_parameters=OWN,
    help="From a folder of images to a small, fast, deployable classifier, with evidence for every number.",
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names of files need be no UTF-8; JSON reads the escapes back
            stream.reconfigure(errors="backslashreplace")
    _start_log(to_stderr="--json" in words)
    try:
        with terminating_like_ctrl_c():
            return _dispatch(words)
    except StropError as error:
        said = str(error) if isinstance(error, Interrupted) else f"error: {error}"
        print(wrapped(who() + said, sys.stderr), file=sys.stderr)
        return error.code
    except KeyboardInterrupt as stopped:
        print(who() + "interrupted; the same command goes on where it stopped", file=sys.stderr)
        return TERMINATED if isinstance(stopped, Terminated) else INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return FAILED


def _dispatch(words: list[str]) -> int:
    if words and not words[0].startswith("-") and words[0] not in app:
        names = [name for name in app if not name.startswith("-")]
        raise UserError("strop", f"'{words[0]}' is not a command. {suggest(words[0], names, show=20)}")
    is_step = bool(words) and words[0] in VERBS
    rest, unknown = split_unknown(words[0], words[1:]) if is_step else (words[1:], [])
    try:
        command, bound, unused, _ = app.parse_known_args([*words[:1], *rest])
    except CycloptsError as error:
        error.verbose = False
        where = " ".join(["strop", *words[:1]])
        raise UserError(where, *unknown, f"{str(error).strip()} See {where} --help.") from None
    unknown += [f"'{word}': unexpected argument." for word in unused]
    if is_step and command.__name__ == words[0]:
        return _run_step(words[0], bound.arguments, unknown)
    if unknown:
        raise UserError(f"strop {words[0]}", *unknown)
    return command(*bound.args, **bound.kwargs) or DONE


def _start_log(*, to_stderr: bool) -> None:
    log.handlers[:] = [_Lines(sys.stderr if to_stderr else sys.stdout)]
    log.setLevel(logging.ERROR if rank() else logging.INFO)
    log.propagate = False


class _Lines(logging.StreamHandler):
    """The log on the screen; where nobody reads it any more (`strop train ... | head`), the work goes on unseen."""

    def format(self, record: logging.LogRecord) -> str:
        return wrapped(super().format(record), self.stream)

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], BrokenPipeError):
            super().handleError(record)
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)


def _run_step(verb: str, given: dict[str, Any], problems: list[str]) -> int:
    step = read_step(verb, given, problems)
    return print_result(verb, step.execute(), as_json=bool(given.get("json")), format=getattr(step, "format", None))


for _verb in VERBS:
    app.command(make_command(_verb), name=_verb, usage=usage(_verb))


app.command(compare, usage="Usage: strop compare RUNS... [OPTIONS]")
app.command(diff, usage="Usage: strop diff A B [OPTIONS]")


@app.command(usage="Usage: strop report RUNS... [OPTIONS]")
def report(*runs: str, out: str = "report.html", plots: bool = True, json: JsonFlag = False) -> int:
    """Write one offline HTML page about runs, from their JSON, and a PNG of each plot beside it.

    Example: strop report runs/student runs/small --out report.html

    Parameters
    ----------
    runs
        run folders
    out
        the page to write; a page that strop wrote before is replaced
    plots
        draw the PNGs, into the folder NAME-plots beside NAME.html
    """
    from .report.present import report as write

    path = Path(out)
    if path.is_dir():
        raise UserError(f"--out {out}", f"is a folder. Write the page's name, for example {path / 'report.html'}.")
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out {out}", f"is no page's name. Write for example {path.with_suffix('.html')}.")
    if not path.parent.is_dir():
        raise UserError(f"--out {out}", f"there is no folder {path.parent}. Make it first.")
    drawn = path.with_name(f"{path.stem}-plots") if plots else None
    write(run_folders(runs), path, title=path.parent.name or "report", plots=drawn)
    _say(json, {"report": str(path), "plots": drawn and str(drawn)}, "\n".join(map(str, filter(None, (path, drawn)))))
    return DONE


@app.command(name="run", usage="Usage: strop run RECIPE [OPTIONS]")
def run_recipe(
    recipe: str,
    /,
    *,
    only: str | None = None,
    skip: str | None = None,
    data: str | None = None,
    set: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    dry_run: DryRunFlag = False,
    smoke: SmokeFlag = False,
    out: str | None = None,
    json: JsonFlag = False,
) -> int:
    """Run a recipe: its steps in order, finished ones skipped; ends with the table and the report.

    Example: strop run recipes/fashion-mnist.yaml --set student.epochs=30

    Parameters
    ----------
    recipe
        YAML file
    only
        ids of the steps to run, with commas, or of varied ones; the others must be done [default: all]
    skip
        ids of steps to leave out, with commas; what begins with them is left out too [default: none]
    data
        folder or data set in the place of every one that the recipe names [default: as it is]
    set
        ID.option=value, defaults.VERB.option=value or data.option=value, once for each change [default: none]
    out
        folder of the runs [default: runs/NAME of the recipe]
    """
    from .recipe import Recipe
    from .recipe.skip import read_ids

    bare = [item for item in set if "=" not in item]
    if bare:
        raise UserError("strop run", *(f"--set {item}: has no value. Write --set ID.option=value." for item in bare))
    changes = dict(item.partition("=")[::2] for item in set)
    loaded = Recipe.load(recipe, changes=changes, data=data, skip=read_ids(skip or None))
    if smoke:
        loaded, root = shrink(loaded, out, data)
    else:
        root = Path(out) if out else Path("runs") / loaded.name
    if dry_run:
        return print_plan(loaded, root, as_json=json)
    return _run_and_show(loaded, root, only=only, as_json=json)


@app.command(usage="Usage: strop ladder DATA [OPTIONS]")
def ladder(
    data: str,
    /,
    *,
    model: str = "resnet18",
    teacher: str = "resnet50",
    budgets: str = "50%,25%,9%",
    epochs: int = 12,
    qat_epochs: int = 2,
    pretrained: str = "false",
    input_size: int | None = None,
    validation: str = "5%",
    augment: str = "light",
    batch_size: str | None = None,
    seed: int = 0,
    dry_run: DryRunFlag = False,
    smoke: SmokeFlag = False,
    out: str | None = None,
    json: JsonFlag = False,
) -> int:
    """Show what smaller and faster costs: teacher, student, budgets, int8, each an exported file, and the front.

    A recipe is written beside the runs, to be edited for `strop run`; the same command goes on where it stopped.

    Example: strop ladder data/ --model resnet18 --teacher resnet50

    Parameters
    ----------
    data
        folder or data set, as for train
    model
        the student, a network by name
    teacher
        a network by name, or a run that is there
    budgets
        shares or counts of the student's parameters that may remain, with commas between
    epochs
        of teacher and student; two thirds of it follow each pruning
    qat_epochs
        epochs in which the smallest model is trained while it is rounded to int8; 0 for none
    pretrained
        true: both begin with published weights
    input_size
        pixels a side [default: of the set, or the model]
    validation
        share of train held out to choose by
    augment
        as for train
    batch_size
        pictures an update [default: as for train]
    seed
        everything random is a function of it
    out
        folder of the runs and the recipe [default: runs/ladder-DATA]
    """
    from .laddering import climb

    more = {"pretrained": pretrained == "true", "augment": augment, "batch_size": batch_size, "seed": seed}
    about = {"data": data, "model": model, "teacher": teacher, "budgets": budgets, "epochs": epochs}
    about |= {"rounding": qat_epochs, "validation": validation, "input_size": input_size, "more": more}
    return climb(about, out, dry_run=dry_run, smoke=smoke, as_json=json)


@app.command
def demo(*, out: str = "runs/demo", json: JsonFlag = False) -> int:
    """Show the whole way on the bundled pictures: teach, distil, prune, quantize, export, compare.

    Example: strop demo

    Parameters
    ----------
    out
        folder of the runs
    """
    from .recipe import Recipe

    with resources.as_file(resources.files("strop") / "demo.yaml") as path:
        loaded = Recipe.load(path)
    return _run_and_show(loaded, Path(out), only=None, as_json=json)


@app.command(usage="Usage: strop models [PATTERN] [OPTIONS]")
def models(pattern: str | None = None, /, *, json: JsonFlag = False) -> int:
    """List networks by name, with parameters and MACs at their size.

    Example: strop models resnet

    Parameters
    ----------
    pattern
        part of a name, or a pattern with * and ? [default: all]
    """
    from .models import known

    found = known(pattern)
    if not found:
        raise UserError(f"strop models {pattern}", "no network has such a name. Try a part of it, such as resnet.")
    _say(json, {"models": [vars(info) for info in found]}, list_models(found))
    return DONE


def _run_and_show(recipe: Any, root: Path, *, only: str | None, as_json: bool) -> int:
    from .recipe import to_compare
    from .report.present import report
    from .report.rows import collect

    start = time.perf_counter()
    runs = recipe.run(out=root, only=only)
    folders = to_compare(runs)
    if not folders or rank():  # only the first process writes the report
        _say(as_json, {"runs": [str(run.folder) for run in runs]}, "\n".join(str(run.folder) for run in runs))
        return DONE
    rows, notes = collect(folders)
    print_table(rows, notes, "json" if as_json else "table")
    page = report(folders, root / "report.html", title=recipe.name)
    log.info("")
    log.info("%s  (%.0f s)", page, time.perf_counter() - start)
    return DONE


def _say(as_json: bool, value: dict, text: str) -> None:
    print(json.dumps(value, ensure_ascii=False) if as_json else text)


def run() -> None:
    """Entry point of the `strop` script."""
    with first_speaks():
        sys.exit(main())
