"""The parts of the page as HTML. Ids and class names come from folders, so every text is escaped here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from .numbers import DASH, decimals_for, percent, significant, size, times
from .table import Column, how, key_columns, measured_columns, model_columns

if TYPE_CHECKING:
    from .notes import Verdict
    from .rows import Row

MATRIX_CLASSES = 40
"""From more classes than this a page shows the largest confusions as a list instead of K x K cells."""


def verdict(judged: Verdict, failed: Sequence[str]) -> str:
    """What to ship and what did not hold, before any table."""
    parts = [f'<p class="headline">{escape(judged.headline)}</p>', *(f"<p>{escape(t)}</p>" for t in judged.details)]
    if judged.pick is not None and judged.best is not None:
        parts.append(_tiles(judged.pick, judged.best))
    if failed:
        parts.append(f'<div class="failed"><h3>What did not hold</h3>{_list(failed)}</div>')
    return "".join(parts)


def _tiles(pick: Row, best: Row) -> str:
    digits = decimals_for(pick.figure("n"))
    interval = ""
    if pick.interval:
        interval = f", 95 % interval {percent(pick.interval[0], digits)} to {percent(pick.interval[1], digits)}"
    lighter = "" if best is pick else ", " + _ratio(best.bytes, pick.bytes, "smaller", "larger", best)
    tiles = [
        (f"{percent(pick.accuracy, digits)} %", f"{pick.measured['split']} accuracy{interval}"),
        (f"{significant(pick.bytes / 1e6)} MB", pick.file + lighter),
    ]
    if pick.p50:
        ratio = ", " + _ratio(best.p50, pick.p50, "faster", "slower", best) if best.p50 and best is not pick else ""
        tiles.append((f"{significant(pick.p50)} ms", f"p50 at batch 1{ratio}"))
    if pick.parameters:
        tiles.append((f"{significant(pick.parameters / 1e6)} M", "parameters"))
    inside = (f'<div class="tile"><b>{escape(figure)}</b><span>{escape(text)}</span></div>' for figure, text in tiles)
    return f'<div class="tiles">{"".join(inside)}</div>'


def _ratio(best: float, pick: float, better: str, worse: str, row: Row) -> str:
    word, ratio = (better, best / pick) if pick < best else (worse, pick / best)
    return f"{times(ratio)} times {word} than {row.id}"


def table(rows: Sequence[Row], pick: Row | None) -> str:
    """The same columns as in the terminal, in a box that scrolls by itself."""
    columns = key_columns(rows) + model_columns(rows) + measured_columns(rows)
    head = "".join(
        f'<th scope="col"{_kind(column)}>{escape(column.title)}<small>{escape(column.unit)}</small></th>'
        for column in columns
    )
    lines = []
    for row, cells in zip(rows, zip(*(column.cells for column in columns), strict=True), strict=True):
        mark = ' class="pick"' if row is pick and len(rows) > 1 else ""
        lines.append(
            f"<tr{mark}>"
            + "".join(f"<td{_kind(column)}>{_cell(cell)}</td>" for column, cell in zip(columns, cells, strict=True))
            + "</tr>"
        )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Table of the models"><table class="rows">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _kind(column: Column) -> str:
    if column.is_number:
        return ""
    return ' class="text name"' if column.title == "name" else ' class="text how"'


def _cell(text: str) -> str:
    """An interval stands small beside its accuracy."""
    value, bracket, interval = text.partition(" [")
    return f"{escape(value)} <small>[{escape(interval)}</small>" if bracket else escape(text)


def notes(lines: Sequence[str]) -> str:
    return f'<div class="notes">{_list(lines)}</div>' if lines else ""


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def fronts(specs: Sequence[Mapping[str, Any]]) -> str:
    """Canvases of the scatter charts; nothing where there is only one point."""
    if not specs:
        return ""
    figures = "".join(
        _figure(f"Accuracy against {spec['title'].partition(',')[0]}", "", f'data-front="{number}"')
        for number, spec in enumerate(specs)
    )
    return (
        '<section><h2>What a smaller or faster model costs</h2><p class="soft">The line joins the models that no '
        f'other beats in both; the bars are the 95 % intervals.</p><div class="charts">{figures}</div></section>'
    )


def _figure(title: str, unit: str, marks: str) -> str:
    return (
        f'<figure><figcaption>{escape(title)} <span>{escape(unit)}</span></figcaption><div class="plot">'
        f'<canvas {marks} role="img" aria-label="{escape(title)}"></canvas></div></figure>'
    )


def details(rows: Sequence[Row], embedded: Sequence[Mapping[str, Any]]) -> str:
    """One fold-out a row: curves, confusion matrix, figures of each class. The first is open."""
    button = '<button type="button" id="open-all" hidden>Open all</button>' if len(rows) > 1 else ""
    folds = []
    for number, (row, data) in enumerate(zip(rows, embedded, strict=True)):
        inside = (_curves(number, row) if data["metrics"] else "") + _evidence(row)
        opened = " open" if number == 0 else ""
        folds.append(
            f'<details class="model"{opened}><summary><b>{escape(row.id)}</b>'
            f'<span>{escape(_summary(row))}</span></summary><div class="inside">{inside}</div></details>'
        )
    return button + "".join(folds)


def _summary(row: Row) -> str:
    parts = [row.model, how(row), size(row.input_size), f"{significant(row.bytes / 1e6)} MB"]
    if row.accuracy is not None:
        parts.append(f"{percent(row.accuracy, decimals_for(row.figure('n')))} %")
    return " · ".join(part for part in parts if part != DASH)


def _curves(number: int, row: Row) -> str:
    best = (row.training or {}).get("best_epoch")
    mark = f", best epoch {escape(str(best))} is marked" if best else ""
    figures = "".join(
        _figure(name.capitalize(), unit, f'data-row="{number}" data-curve="{name}"')
        for name, unit in (("loss", ""), ("accuracy", "%"), ("recall", "macro, %"))
    )
    return f'<h3>Training{mark}</h3><div class="charts three">{figures}</div>'


def _evidence(row: Row) -> str:
    measured = row.measured
    if not measured:
        return "<p>Nothing was measured on test or val.</p>"
    facts = [
        ("measured file", f"{measured.get('file', '?')} ({measured.get('runtime', '?')})"),
        ("its hash", measured["hash"]),
        ("pictures", f"{measured['split']}, n = {measured.get('n', '?')}"),
        ("interval", str(measured.get("interval_method", "not given"))),
    ]
    text = f"<h3>Measured</h3>{_facts(facts)}"
    confusion, classes = measured.get("confusion"), measured.get("classes")
    if confusion and classes and len(confusion) == len(classes):
        text += "<h3>Confusion matrix: rows are the true classes, columns the predicted ones</h3>"
        text += _matrix(confusion, classes) if len(classes) <= MATRIX_CLASSES else _confused(confusion, classes)
    if measured.get("per_class"):
        text += f"<h3>Each class</h3><pre>{escape(class_lines(measured))}</pre>"
    return text


def _matrix(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Shaded by the share of the true class: h0 is none, h10 is all of it."""
    names = [escape(name) for name in classes]
    head = "".join(f'<th scope="col" title="{name}"><span>{name}</span></th>' for name in names)
    body = []
    for name, row in zip(names, confusion, strict=True):
        total = max(1, sum(row))
        cells = "".join(f'<td class="h{-(-10 * n // total)}">{n}</td>' for n in row)
        body.append(f'<tr><th scope="row" title="{name}">{name}</th>{cells}</tr>')
    return (
        f'<div class="scroll flat" tabindex="0" role="region" aria-label="Confusion matrix"><table class="matrix">'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _confused(confusion: Sequence[Sequence[int]], classes: Sequence[str], show: int = 20) -> str:
    pairs = [(n, i, j) for i, row in enumerate(confusion) for j, n in enumerate(row) if i != j and n]
    pairs.sort(key=lambda pair: -pair[0])
    lines = [f"{classes[i]} taken for {classes[j]}: {n} of {sum(confusion[i])}" for n, i, j in pairs[:show]]
    return f"<p>{len(classes)} classes; the largest confusions (all counts are in this page's JSON):</p>{_list(lines)}"


def class_lines(measured: Mapping[str, Any]) -> str:
    """Precision, recall and F1 of each class and their macro average, six decimals, in the line format of scripts."""
    line = "Precision: {:f}, Recall: {:f}, F1-Score: {:f}"
    lines = [f"Class {c['name']}: " + line.format(c["precision"], c["recall"], c["f1"]) for c in measured["per_class"]]
    macro = [measured.get(f"macro_{name}") for name in ("precision", "recall", "f1")]
    if None not in macro:
        lines.append("macro avg: " + line.format(*macro))
    return "\n".join(lines)


def lineage(rows: Sequence[Row]) -> str:
    """'small from student, taught by teacher', one line a row."""
    words = {"parent": "from", "teacher": "taught by"}
    lines = []
    for row in rows:
        origin = [f"{words.get(role, role)} {parent['id']}" for role, parent in row.parents.items()]
        made = f"{row.id}: {row.verb} {', '.join(origin)}" if origin else f"{row.id}: {row.verb} from scratch"
        lines.append(made + (f"; ships as {row.export}/{row.file}" if row.export else ""))
    return _list(lines)


def machine(rows: Sequence[Row]) -> str:
    """Each machine and set of versions once, with the rows it made."""
    groups: dict[tuple, list[str]] = {}
    for row in rows:
        facts = [(key, _shown(key, value)) for key, value in row.machine.items()]
        groups.setdefault((*facts, *((k, str(v)) for k, v in row.versions.items())), []).append(row.id)
    return "".join(
        _facts([*([("made", ", ".join(ids))] if len(groups) > 1 else []), *facts]) for facts, ids in groups.items()
    )


def _shown(key: str, value: Any) -> str:
    return f"{significant(value / 1e9)} GB" if key == "memory_bytes" and isinstance(value, int) else str(value)


def _facts(pairs: Sequence[tuple[str, str]]) -> str:
    lines = "".join(f"<dt>{escape(key.removesuffix('_bytes'))}</dt><dd>{escape(value)}</dd>" for key, value in pairs)
    return f'<dl class="facts">{lines}</dl>'


def commands(rows: Sequence[Row]) -> str:
    """The commands that made the rows, parents first as they were given, then the comparison."""
    lines = [row.command for row in rows if row.command]
    lines += [f"strop verify {row.export}" for row in rows if row.export]
    lines.append(f"strop {'compare' if len(rows) > 1 else 'report'} {' '.join(row.folder.name for row in rows)}")
    return f"<pre>{escape(chr(10).join(dict.fromkeys(lines)))}</pre>"
