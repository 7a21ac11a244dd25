"""What the command line says about the result of a step."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from textwrap import fill, indent, wrap
from typing import Any

from .errors import AUDIT_ERRORS, DONE, FAILED, GATE_NOT_HELD

MOST_SHOWN = 20
log = logging.getLogger("strop")


def print_result(verb: str, made: Any, *, as_json: bool, format: str | None = None) -> int:
    """Print what the step of this verb made; returns the exit code.

    Args:
        format: "csv" or "json" for predictions in that form; of other steps it is not read.
    """
    if verb == "predict" and format == "csv" and not as_json:
        return _print_csv(made)
    as_json = as_json or (verb == "predict" and format == "json")
    printers = {
        "bench": _print_bench,
        "predict": _print_predictions,
        "audit": _print_audit,
        "info": _print_info,
        "verify": _print_verification,
    }
    return printers.get(verb, _print_run)(made, as_json=as_json) or DONE


def wrapped(text: str, stream: Any) -> str:
    """Each line broken between words where the terminal ends, further parts set in; whole where nothing shows it.

    So a file or a pipe has one line for one message, to be searched.
    """
    width = columns_of(stream)
    if width is None:
        return text
    lines = []
    for line in text.split("\n"):
        inset = " " * (len(line) - len(line.lstrip()) + 2)
        parts = wrap(line, max(width, 40), subsequent_indent=inset, break_on_hyphens=False, break_long_words=False)
        lines += parts if len(line) > width else [line]
    return "\n".join(lines)


def columns_of(stream: Any) -> int | None:
    """Columns of the terminal that a stream is shown on, or $COLUMNS; None where there is neither."""
    if os.environ.get("COLUMNS", "").isdecimal():
        return int(os.environ["COLUMNS"]) or None
    return shutil.get_terminal_size().columns if stream.isatty() else None


def show(*drawn: Any) -> None:
    """What rich lays out, in the terminal's width, or in 80 characters where there is none."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 80, highlight=False)
    for part in drawn:
        console.print(part)


def _print_run(run: Any, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"run": str(run.folder), "id": run.id, "verb": run.record["verb"], "result": run.result}))
        return
    result = run.result
    log.info("%s", run.folder)
    for scores in result.get("measured", [])[:1]:
        low, high = (100 * bound for bound in scores["accuracy_interval"])
        about = f"({low:.1f} to {high:.1f}) on {scores['n']:,} {scores['split']} pictures"
        log.info("  accuracy %.2f %% %s", 100 * scores["accuracy"], about)
        if run.record["verb"] == "evaluate" and "brier" in scores:
            top = f"top-5 {100 * scores['top5']:.2f} %, " if "top5" in scores else ""
            log.info("  %sNLL %.3f, Brier %.3f, ECE %.3f", top, *(scores[name] for name in ("loss", "brier", "ece")))
        if scores.get("looks", 0) > 1:
            log.info("  this test set has been looked at %d times", scores["looks"])
    for about in result.get("runtimes", [])[1:]:
        differ = f"{about['disagreements']['count']:,} of {about['n']:,}"
        words = (about["name"], 100 * about["accuracy"], differ, about["disagreements"]["to"])
        log.info("  in %s: accuracy %.2f %%, %s answers differ from %s", *words)
    if run.record["verb"] == "evaluate":
        _print_evaluation(result)
    for checkpoint in ("best", "last") if "cross_validation" in result else ():
        accuracy = result["cross_validation"][checkpoint]["accuracy"]
        folds = result["cross_validation"]["folds"]
        shown = (100 * accuracy["mean"], 100 * accuracy["sd"], folds, checkpoint)
        log.info("  accuracy %.2f %%, sd %.2f over %d folds (%s epoch of each)", *shown)
    if "note" in result:
        log.info("  %s", fill(result["note"], 78, subsequent_indent="  "))
    if "model" in result and run.record["verb"] != "evaluate":
        model = result["model"]
        counts = f"{model['parameters']:,} parameters, {model['macs']:,} MACs"
        log.info("  %s, %s bytes in %s", counts, f"{model['bytes']:,}", model["file"])
    if (run.folder / "report.html").is_file():
        log.info("  %s", run.folder / "report.html")


def _print_evaluation(result: dict) -> None:
    from .report.splits import on_demand_lines, remarks, side_by_side

    measured = result["measured"]
    for line in remarks(measured[0]) + on_demand_lines(result):
        log.info("  %s", line)
    if len(measured) > 1:
        log.info("\n%s\n", indent(side_by_side(measured), "  "))


def _print_bench(run: Any, *, as_json: bool) -> None:
    _print_run(run, as_json=as_json)
    if as_json:
        return
    from .report import speed
    from .report.table import table

    show(table([], speed.notes(run.result), speed.columns(run.result)))
    for title, columns in speed.profiles(run.result):
        show("", title, table([], [], columns))


def _print_predictions(rows: list[dict], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"predictions": rows}, ensure_ascii=False))
    else:
        print("\n".join(prediction_lines(rows, columns_of(sys.stdout) or 80)))
    return _tell_unread(rows)


def prediction_lines(rows: list[dict], width: int) -> list[str]:
    """A line a picture and one for each further class, none wider than `width`: of long paths the end is shown.

    Under 40 columns there is no room for the parts of a line; these are broken by the terminal.
    """
    from rich.cells import cell_len, set_cell_size

    width = max(width, 40)
    answered = [row for row in rows if "error" not in row]
    named = [each["class"] for row in answered for each in row.get("top", [row])]
    column = min(max(map(cell_len, named)), width // 3)
    truths = ["" if "truth" not in row else "right" if _is_right(row) else f"wrong: {row['truth']}" for row in answered]
    told = min(max(map(cell_len, truths)), width // 3)
    room = width - column - len("  100.0 %  ") - (told and told + 2)
    paths = [fit(row["path"], room, keep_end=True) for row in answered]
    reach = max(map(cell_len, paths))
    lines = []
    for row, path, truth in zip(answered, paths, truths, strict=True):
        chosen = f"{set_cell_size(fit(row['class'], column), column)}  {100 * row['probability']:5.1f} %"
        lines.append(f"{chosen}  {set_cell_size(path, reach)}  {fit(truth, told)}".rstrip())
        for each in row.get("top", [])[1:]:
            lines.append(f"  {set_cell_size(fit(each['class'], column), column)}  {100 * each['probability']:5.1f} %")
    known = [row for row in answered if "truth" in row]
    return lines + ([f"{sum(map(_is_right, known))} of {len(known)} right"] if known else [])


def fit(text: str, width: int, *, keep_end: bool = False) -> str:
    """Text without control characters, in at most so many columns; of a longer one an end is left."""
    from rich.cells import cell_len, set_cell_size

    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    if cell_len(text) <= width:
        return text
    if not keep_end:
        return set_cell_size(text, width - 1).rstrip() + "…"
    return "…" + set_cell_size(text[::-1], width - 1)[::-1].lstrip()


def _is_right(row: dict) -> bool:
    return row["truth"] == row["class"]


def _tell_unread(rows: list[dict]) -> int:
    """Name on stderr what has no answer, and say so with the exit code too."""
    unread = [row for row in rows if "error" in row]
    if not unread:
        return DONE
    some = f"{len(unread)} of {len(rows):,} pictures can't be read and have no answer:"
    named = [f"{row['path']}: {row['error']}" for row in unread[:MOST_SHOWN]]
    more = [f"... and {len(unread) - MOST_SHOWN:,} more"] if len(unread) > MOST_SHOWN else []
    print(wrapped("\n  ".join([f"error: {some}", *named, *more]), sys.stderr), file=sys.stderr)
    return FAILED


def _print_csv(rows: list[dict]) -> int:
    """A line a picture; further classes in columns of their own, class_2 and so on."""
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    places = range(2, max(len(row.get("top", [0])) for row in rows) + 1)
    further = [f"{column}_{place}" for place in places for column in ("class", "probability")]
    writer.writerow(["path", "class", "probability", *further, "truth", "error"])
    for row in rows:
        more = [value for named in row.get("top", [])[1:] for value in named.values()] or [""] * len(further)
        said = [row.get(name, "") for name in ("class", "probability")]
        writer.writerow([row["path"], *said, *more, row.get("truth", ""), row.get("error", "")])
    return _tell_unread(rows)


def _print_audit(audited: Any, *, as_json: bool) -> int:
    findings, files = audited
    if as_json:
        print(json.dumps(findings.describe() | {"files": [str(file) for file in files]}, ensure_ascii=False))
    else:
        print(findings.verdict())
        print("\n".join(map(str, files)))
    return AUDIT_ERRORS if findings.has_errors else DONE


def _print_verification(found: Any, *, as_json: bool) -> int:
    if as_json:
        checks = [check._asdict() for check in found.checks]
        print(json.dumps(found._asdict() | {"checks": checks}, ensure_ascii=False))
    else:
        for check in found.checks:
            text = f"{check.name:<14}{'DIFFERS: ' if check.holds is False else ''}{check.said}"
            print(fill(text, 80, subsequent_indent=14 * " "))
        print(fill(found.verdict + (f": {found.note}" if found.note else ""), 80))
    return GATE_NOT_HELD if found.verdict == "differs" else DONE


def _print_info(found: dict, *, as_json: bool) -> None:
    from .report.understanding import Understanding

    print(json.dumps(found, ensure_ascii=False)) if as_json else show(Understanding(found))


def list_models(found: list) -> str:
    """A line a network, at most 80 columns: no name in the index has more than 40 letters with its prefix."""
    from .models import written
    from .report.numbers import significant

    names = [written(info) for info in found]
    width = max(20, *map(len, names))
    lines = [f"{'name':<{width}}   params     MACs   px from weights"]
    for name, info in zip(names, found, strict=True):
        params = significant(info.parameters and info.parameters / 1e6, 4)
        macs = significant(info.macs and info.macs / 1e9, 4)
        library = {"strop": "own", "torchvision": "tv"}.get(info.library, info.library)
        weights = {None: "none", "timm": "timm hub"}.get(info.weights, info.weights)
        lines.append(f"{name:<{width}} {params:>8} {macs:>8} {info.input_size:>4} {library:<4} {weights}")
    lines += ["params in M at 1,000 classes; MACs in G at px pixels a side: conv, linear,"]
    return "\n".join([*lines, "attention, no bias; weights: what --pretrained loads, none without them"])
