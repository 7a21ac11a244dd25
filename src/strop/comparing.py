"""`strop compare` and `strop diff`: what they take, refuse and print."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import DONE, UserError, suggest
from .flags import JsonFlag
from .printing import show
from .runs import check_new_folder

if TYPE_CHECKING:
    from .report.columns import Column
    from .report.rows import Row

FORMATS = ("table", "markdown", "csv", "json", "latex", "html")
LINEAGES = ("tree", "none", "mermaid", "dot")
log = logging.getLogger("strop")


def compare(
    *runs: str,
    format: str = "table",
    columns: str | None = None,
    sort: str | None = None,
    baseline: str | None = None,
    split: str | None = None,
    lineage: str = "tree",
    out: str | None = None,
    json: JsonFlag = False,
) -> int:
    """Put runs into one table; latencies come from one bench.

    Example: strop compare runs/* --baseline student --sort accuracy

    Parameters
    ----------
    runs
        run folders, or a folder of runs; exports, evaluations and benches beside them are joined
    format
        table, markdown, csv, json, latex (booktabs) or html
    columns
        names with commas, each with decimals if wanted (name,params:3,latency); or a layout: paper, reference,
        cifar100, all [default: those that something is known for]
    sort
        a column; the best row first. latency:desc turns it round [default: as given]
    baseline
        a row that each other row is tested against, from predictions.parquet (strop evaluate writes it) [default: none]
    split
        test or val [default: what most rows were measured on]
    lineage
        tree below the table, none; mermaid or dot print the graph alone
    out
        new folder for table.md, table.csv, table.tex, fronts.png and report.html [default: nothing is written]
    """
    from .report import compare as join
    from .report import fronts
    from .report.layouts import LAYOUT_NOTES, chosen, sort_rows

    _check_choice("format", format, FORMATS)
    _check_choice("lineage", lineage, LINEAGES)
    if split is not None:
        _check_choice("split", split, ("test", "val"))
    folder = None if out is None else Path(out)
    if folder is not None:
        check_new_folder("out", folder)
    rows, said = join(*run_folders(runs), split=split, baseline=baseline)
    rows = sort_rows(rows, sort) if sort is not None else rows
    picked = None if columns is None else chosen(columns, rows)
    if picked is not None and not any(column.name == "front" for column in picked):
        said = [note for note in said if note != fronts.LEGEND]
    said = ([LAYOUT_NOTES[columns]] if columns in LAYOUT_NOTES else []) + said
    if lineage in ("mermaid", "dot"):
        _print_graph(rows, lineage)
    else:
        print_table(rows, said, "json" if json else format, picked, has_tree=lineage == "tree")
    if folder is not None:
        _write_comparison(rows, said, folder, picked)
    return DONE


def _check_choice(option: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise UserError(f"--{option} {value}", f"is not an option. {suggest(value, known)}")


def print_table(
    rows: Sequence[Row],
    notes: Sequence[str],
    format: str,
    columns: Sequence[Column] | None = None,
    *,
    has_tree: bool = False,
) -> None:
    """Print it in one of `FORMATS`."""
    from .report import formats
    from .report.lineage import tree
    from .report.table import table

    match format:
        case "json":
            print(formats.json(rows, notes, columns))
        case "markdown":
            print(formats.markdown(rows, notes, columns))
        case "csv":
            print(formats.csv(rows, columns), end="")
        case "latex":
            print(formats.latex(rows, notes, columns), end="")
        case "html":
            print(formats.html(rows, notes, columns), end="")
        case _:
            show("", table(rows, notes, columns))
            if has_tree and any(row.parents for row in rows):
                show("", *_texts(tree(rows)))


def _texts(lines: Sequence[str]) -> list:
    from rich.text import Text

    return [Text(line) for line in lines]


def _print_graph(rows: Sequence[Row], kind: str) -> None:
    from .report.lineage import dot, mermaid

    print(mermaid(rows) if kind == "mermaid" else dot(rows), end="")


def _write_comparison(
    rows: Sequence[Row], notes: Sequence[str], folder: Path, columns: Sequence[Column] | None
) -> None:
    from .report import formats
    from .report.charts import fronts
    from .report.page import write_page

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(formats.markdown(rows, notes, columns), encoding="utf-8")
    (folder / "table.csv").write_text(formats.csv(rows, columns), encoding="utf-8")
    (folder / "table.tex").write_text(formats.latex(rows, notes, columns), encoding="utf-8")
    fronts(rows, folder / "fronts.png")
    whole = [row.unranked or row for row in rows]  # the page keeps them apart itself
    write_page(whole, notes, folder / "report.html", title=folder.name)
    log.info("%s", folder / "report.html")


def run_folders(names: tuple[str, ...]) -> list[Path]:
    """The folders among what was given; plain files are passed over, because runs/* names reports too."""
    missing = [f"'{name}' is not there." for name in names if not Path(name).exists()]
    folders = [Path(name) for name in names if Path(name).is_dir()]
    if missing or not folders:
        raise UserError("runs", *(missing or ["no run folders given. Write for example runs/*"]))
    return folders


def diff(a: str, b: str, /, *, json: JsonFlag = False) -> int:
    """Say how two runs differ: config, data, code, results; and whether their predictions tell them apart.

    Example: strop diff runs/student runs/rival

    Parameters
    ----------
    a
        run folder, of any verb
    b
        the other one
    """
    from json import dumps

    from .report import difference

    found = difference.compare_runs(a, b)
    said = difference.remarks(found) + difference.verdict(a, b)
    if json:
        print(dumps(found | {"notes": said}, ensure_ascii=False, allow_nan=False))
        return DONE
    _print_diff(found, said)
    return DONE


def _print_diff(found: dict, said: list[str]) -> None:
    from rich.text import Text

    from .report import difference
    from .report.table import note, table

    first, second = (found[side] for side in "ab")
    names = [about["id"] if first["id"] != second["id"] else about["path"] for about in (first, second)]
    for group in ("config", "data", "code", "result"):
        same = found["same"][group]
        if found[group]:
            title = f"{group} ({same} more {'is' if same == 1 else 'are'} the same)"
            show(
                "",
                Text(title, style="bold"),
                table([], [], difference.columns(found[group], *names, found["not_comparable"])),
            )
        else:
            show("", Text(f"{group}: the same ({same})" if same else f"{group}: neither run says", style="bold"))
    show(*(note(text, first=number == 0) for number, text in enumerate(said)))
