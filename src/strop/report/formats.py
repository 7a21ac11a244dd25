"""The table of rows as Markdown, CSV, JSON, LaTeX and HTML."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from csv import DictWriter
from html import escape
from json import dumps
from typing import TYPE_CHECKING, Any

from . import conditions
from .columns import Column, filled, groups
from .fronts import LEGEND, fronts
from .layouts import chosen
from .numbers import DASH
from .runtimes import others, within

if TYPE_CHECKING:
    from .rows import Row


UNRANKED = ("split", "n", "accuracy", "accuracy_interval", "pictures")


def record(row: Row) -> dict[str, Any]:
    """A row as plain figures in base units, the keys of CSV and JSON."""
    low, high = row.interval or (None, None)
    measured = row.measured or {}
    found = {
        "id": row.id,
        "model": row.model,
        "trained": list(row.trained),
        "input_size": list(row.input_size),
        "parameters": row.parameters,
        "macs": row.macs,
        "bytes": row.bytes,
        "file": row.file,
        "hash": row.hash,
        "split": measured.get("split"),
        "n": measured.get("n"),
        "accuracy": row.accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "macro_precision": row.figure("macro_precision"),
        "macro_recall": row.figure("macro_recall"),
        "macro_f1": row.figure("macro_f1"),
        "latency_ms_p50": row.p50,
        "latency_ms_p95": row.p95,
        "images_per_second": row.images_per_second,
        "parents": {role: parent["id"] for role, parent in row.parents.items()},
    }
    if elsewhere := others([row]):
        found["runtimes"] = {runtime: _in_runtime(row, runtime) for runtime in elsewhere}
    if row.unranked:
        found["unranked"] = {name: row.unranked.figure(name) for name in UNRANKED}
    return found | ({"against": row.against._asdict()} if row.against else {})


def _in_runtime(row: Row, runtime: str) -> dict[str, Any]:
    """The figures of the row in another runtime."""
    [there] = within([row], runtime)
    low, high = there.interval or (None, None)
    return {
        "n": there.figure("n"),
        "accuracy": there.accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "other_answers": ((there.measured or {}).get("disagreements") or {}).get("count"),
        "latency_ms_p50": there.p50,
        "latency_ms_p95": there.p95,
        "latency_ratio": there.timed("ratio", "latency"),
        "float_ratio": there.timed("float_ratio", "latency"),
    }


def markdown(rows: Sequence[Row], notes: Sequence[str] = (), columns: Sequence[Column] | None = None) -> str:
    """The table as GitHub Markdown, in the units of the screen."""
    columns, notes = _for_a_page(rows, notes, columns)
    lines = [
        [_escape(column.heading) for column in columns],
        ["---:" if column.is_number else "---" for column in columns],
        *([_escape(cell) for cell in cells] for cells in _cells(columns)),
    ]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return text + "".join(f"\n* {_escape(note)}" for note in notes) + ("\n" if notes else "")


def _for_a_page(
    rows: Sequence[Row], notes: Sequence[str], columns: Sequence[Column] | None
) -> tuple[Sequence[Column], list[str]]:
    """Columns and notes: as chosen, or the layout `paper`, which has no column `front` to explain."""
    if columns is not None:
        return columns, list(notes)
    return chosen("paper", rows), [note for note in notes if note != LEGEND]


def _cells(columns: Sequence[Column]) -> list[tuple[str, ...]]:
    return list(zip(*(column.cells for column in columns), strict=True))


def _escape(text: str) -> str:
    for letter in "\\|`*_<":
        text = text.replace(letter, "\\" + letter)
    return " ".join(text.split())


def csv(rows: Sequence[Row], columns: Sequence[Column] | None = None) -> str:
    """The figures in base units, one line a row; lists are joined with ' + ' and 'x'."""
    out = io.StringIO()
    lines = values(columns) if columns is not None else [_flat(record(row)) for row in rows]
    header = list(dict.fromkeys(name for line in lines for name in line))
    writer = DictWriter(out, header or ["id"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def _flat(line: dict[str, Any]) -> dict[str, Any]:
    against = line.pop("against", {})
    line.pop("unranked", None)
    elsewhere = line.pop("runtimes", {})
    return line | {
        "trained": " + ".join(line["trained"]),
        "input_size": "x".join(map(str, line["input_size"])),
        "parents": " ".join(f"{role}={id}" for role, id in line["parents"].items()),
        **{f"against_{name}": value for name, value in against.items()},
        **{f"{runtime}_{name}": value for runtime, there in elsewhere.items() for name, value in there.items()},
    }


def values(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """What the cells of chosen columns show, in base units, by the names of the columns."""
    names = [column.name for column in columns]
    return [dict(zip(names, line, strict=True)) for line in zip(*(column.values for column in columns), strict=True)]


def json(rows: Sequence[Row], notes: Sequence[str] = (), columns: Sequence[Column] | None = None) -> str:
    """One JSON object: the figures in base units, what the rows share, the fronts as ids, and the notes."""
    found = {
        "rows": values(columns) if columns is not None else [record(row) for row in rows],
        "conditions": conditions.holds(rows),
        "fronts": {
            front.cost.title.partition(",")[0]: [rows[front.points[i][0]].id for i in front.front]
            for front in fronts(rows)
        },
        "notes": list(notes),
    }
    return dumps(found, ensure_ascii=False, allow_nan=False)


LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "[": "{[}",  # behind \\ a bare one would begin an argument
    "]": "{]}",
    **{letter: "\\" + letter for letter in "&%$#_{}"},
}


FIRST_AFTER_LATIN = 0x250


def latex(rows: Sequence[Row], notes: Sequence[str] = (), columns: Sequence[Column] | None = None) -> str:
    """The table with booktabs: titles above units, notes below it; notes that name a command are comments."""
    columns, notes = _for_a_page(rows, notes, columns)
    lines = [[_tex(column.title) for column in columns]]
    if any(column.unit for column in columns):
        lines.append([_tex(column.unit) for column in columns])
    body = zip(*([_tex_cell(cell, column) for cell in column.cells] for column in columns), strict=True)
    said, asides = [[n for n in notes if ("strop " in n) == is_aside] for is_aside in (False, True)]
    text = "\n".join(
        [
            r"% needs \usepackage{booktabs,graphicx}; a table wider than the line is made narrower",
            r"\begin{table}",
            r"  \centering",
            r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"  \begin{{tabular}}{{@{{}}{''.join('r' if column.is_number else 'l' for column in columns)}@{{}}}}",
            r"    \toprule",
            *(f"    {' & '.join(line)} \\\\" for line in lines),
            r"    \midrule",
            *(f"    {' & '.join(line)} \\\\" for line in body),
            r"    \bottomrule",
            r"  \end{tabular}}",
            *(rf"  \par\smallskip\footnotesize\raggedright {_minus(_tex(note))}" for note in said),
            r"\end{table}",
            *(f"% {' '.join(note.split())}" for note in asides),
            "",
        ]
    )
    is_latin = all(ord(letter) < FIRST_AFTER_LATIN for letter in text)
    return (
        text if is_latin else "% letters outside Latin: compile with xelatex or lualatex and a font for them\n" + text
    )


def _tex(text: str) -> str:
    return " ".join("".join(LATEX.get(letter, letter) for letter in text).split())


def _tex_cell(cell: str, column: Column) -> str:
    if not column.is_number:
        return _tex(cell)
    text = "--" if cell == DASH else _minus(_tex(cell)).replace(LATEX["~"], r"$\sim$")
    return re.sub(r"(?<=\d)x(?=\d)", r"$\\times$", text) if column.name == "input" else text


def _minus(text: str) -> str:
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", text)


HTML = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem; color-scheme: light dark; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; border-block: 2px solid; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .3rem .7rem; text-align: right; white-space: nowrap; vertical-align: top; }}
th {{ border-bottom: 1px solid; font-weight: 600; }}
th small {{ display: block; font-weight: 400; }}
.text {{ text-align: left; }}
li {{ max-width: 60rem; }}
</style>
<div class="scroll"><table>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table></div>
{notes}</html>
"""


def html(rows: Sequence[Row], notes: Sequence[str] = (), columns: Sequence[Column] | None = None) -> str:
    """The table as one page without scripts; `strop report` writes the one with charts."""
    columns = filled(column for group in groups(rows) for column in group) if columns is None else columns
    marks = ["" if column.is_number else ' class="text"' for column in columns]
    head = "".join(
        f'<th scope="col"{mark}>{escape(column.title)}<small>{escape(column.unit)}</small></th>'
        for column, mark in zip(columns, marks, strict=True)
    )
    lines = (
        "<tr>" + "".join(f"<td{mark}>{escape(cell)}</td>" for cell, mark in zip(cells, marks, strict=True)) + "</tr>"
        for cells in _cells(columns)
    )
    said = "".join(f"<li>{escape(note)}</li>\n" for note in notes)
    title = escape(", ".join(row.id for row in rows[:3]) + (", ..." if len(rows) > 3 else ""))
    return HTML.format(title=title, head=head, body="\n".join(lines), notes=f"<ul>\n{said}</ul>\n" if said else "")
