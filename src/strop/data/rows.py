"""The rows of a table, whatever its format: CSV, TSV, Parquet, text. Nothing is believed, and little is kept."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

from ..errors import UserError, suggest

COLUMNS = ("path", "label", "split", "group")
LIMIT_BYTES = 4_000_000_000
_LONGEST_LINE = 1_000_000
_BATCH = 8192
_DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}

Report = Callable[[int, str], None]


class Row(NamedTuple):
    """One picture as the table says it, blanks around the values removed; `line` counts from 1."""

    line: int
    path: str
    label: str
    split: str | None
    group: str


def read_rows(file: Path, report: Report) -> Iterator[Row]:
    """Read a table row by row; `report(line, sentence)` gets what is wrong with the form of it.

    Raises:
        UserError: the file can't be read at all.
    """
    read = {".csv": _read_csv, ".tsv": _read_csv, ".parquet": _read_parquet, ".txt": _read_text}[file.suffix.lower()]
    try:
        if file.stat().st_size > LIMIT_BYTES:
            raise UserError(str(file), f"is larger than {LIMIT_BYTES / 1e9:g} GB. Divide it.")
        yield from read(file, report)
    except OSError as error:
        raise UserError(str(file), f"can't be read: {error.strerror or error}.") from error


def show(value: str) -> str:
    """A value in a message: in quotes, control characters spelt out, cut where it is long."""
    return repr(value if len(value) <= 80 else value[:77] + "...")


def _read_csv(file: Path, report: Report) -> Iterator[Row]:
    delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
    with _open_text(file, newline="") as text:
        reader = csv.reader(_lines(text, report), delimiter=delimiter, strict=True)
        places: dict[str, int] | None = None
        start = 1
        try:
            for cells in reader:
                line, start = start, reader.line_num + 1
                if not any(cell.strip() for cell in cells):
                    continue
                if places is None:
                    width, places = len(cells), _read_header(cells, file.suffix, delimiter, line, report)
                    if not places:
                        return
                elif len(cells) != width:
                    report(
                        line,
                        f"{len(cells)} values for {width} columns. Put a value with {_DELIMITERS[delimiter]} "
                        "in it between double quotes.",
                    )
                else:
                    yield _row(line, {name: cells[place] for name, place in places.items()})
        except csv.Error as error:
            report(start, f"is not readable ({error}). Check the quotes.")


def _read_text(file: Path, report: Report) -> Iterator[Row]:
    with _open_text(file) as text:
        for line, content in enumerate(_lines(text, report), 1):
            content = content.rstrip("\n")
            if not content.strip():
                continue
            cells = content.split("\t") if "\t" in content else content.rsplit(None, 1)
            if not 2 <= len(cells) <= len(COLUMNS):
                report(
                    line,
                    f"{show(content)} is no path and label. Divide them by a blank or a tab, "
                    "or call the file .csv if they are divided by commas.",
                )
            else:
                yield _row(line, dict(zip(COLUMNS, cells, strict=False)))


def _read_parquet(file: Path, report: Report) -> Iterator[Row]:
    try:
        import pyarrow as arrow
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise UserError(str(file), "reading Parquet needs pyarrow: pip install pyarrow. Or save it as .csv.") from None

    try:
        with ParquetFile(file) as table:
            places = _read_header(table.schema_arrow.names, ".parquet", "", 0, report)
            places = {name: place for name, place in places.items() if _is_text(table, place, name, arrow, report)}
            if not {"path", "label"} <= set(places) or not _fits(table, report):
                return
            names = {table.schema_arrow.names[place]: name for name, place in places.items()}
            line = 0
            for batch in table.iter_batches(_BATCH, columns=list(names)):
                columns = [batch.column(name).cast(arrow.string()).to_pylist() for name in names]
                for values in zip(*columns, strict=True):
                    line += 1
                    yield _row(line, {key: value or "" for key, value in zip(names.values(), values, strict=True)})
    except arrow.ArrowException as error:
        raise UserError(str(file), f"is not readable as Parquet ({error}). Write it again.") from error


def _is_text(table, place: int, name: str, arrow, report: Report) -> bool:
    kind = table.schema_arrow.types[place]
    value = kind.value_type if arrow.types.is_dictionary(kind) else kind
    fits = arrow.types.is_string(value) or arrow.types.is_large_string(value) or arrow.types.is_integer(value)
    if not fits:
        report(0, f"column '{name}' is of type {kind}. Write text or whole numbers.")
    return fits


def _fits(table, report: Report) -> bool:
    """A few kilobytes may unpack to anything, but the file must say to how much."""
    about = table.metadata
    groups = [about.row_group(i) for i in range(about.num_row_groups)]
    total = sum(group.column(j).total_uncompressed_size for group in groups for j in range(group.num_columns))
    if total > LIMIT_BYTES:
        report(0, f"unpacks to {total / 1e9:.3g} GB; at most {LIMIT_BYTES / 1e9:g} GB are read. Divide it.")
    return total <= LIMIT_BYTES


def _row(line: int, values: dict[str, str]) -> Row:
    split = values.get("split")
    return Row(
        line,
        values["path"].strip(),
        values["label"].strip(),
        None if split is None else split.strip(),
        values.get("group", "").strip(),
    )


def _read_header(cells: list[str], kind: str, delimiter: str, line: int, report: Report) -> dict[str, int]:
    """Column name to its place; nothing where it can't be used."""
    names = [cell.strip().lower() for cell in cells]
    other = next((d for d in _DELIMITERS if d != delimiter and d in names[0]), None) if len(names) == 1 else None
    if delimiter and other:
        ending = "save it as .tsv" if other == "\t" else f"save it with {_DELIMITERS[delimiter]}"
        report(
            line,
            f"the columns are divided by {_DELIMITERS[other]}, but a {kind} file has {_DELIMITERS[delimiter]}"
            f"; {ending}.",
        )
        return {}
    if not {"path", "label"} & set(names):
        shown = (delimiter or ", ").join(cells)
        report(
            line,
            f"{show(shown)} names neither path nor label. Begin the table with the names of its columns: "
            f"{(delimiter if delimiter == ',' else ' ').join(COLUMNS[:2])}, and split and group if there are.",
        )
        return {}
    missing = [f"column '{name}' is missing." for name in COLUMNS[:2] if name not in names]
    unknown = [
        f"column {show(cell.strip())} is unknown. {suggest(name, COLUMNS)}"
        for cell, name in zip(cells, names, strict=True)
        if name not in COLUMNS
    ]
    twice = [f"column '{name}' is there twice. Keep one." for name in COLUMNS if names.count(name) > 1]
    for sentence in missing + unknown + twice:
        report(line, sentence)
    return {} if missing or twice else {name: place for place, name in enumerate(names) if name in COLUMNS}


def _open_text(file: Path, newline: str | None = None) -> TextIO:
    """UTF-8 with or without a mark in front; other bytes pass as surrogates, which `_lines` reports by line."""
    with open(file, "rb") as raw:
        if raw.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise UserError(str(file), "is text in UTF-16. Save it as UTF-8.")
    return open(file, encoding="utf-8-sig", errors="surrogateescape", newline=newline)


def _lines(text: TextIO, report: Report) -> Iterator[str]:
    number = 0
    while line := text.readline(_LONGEST_LINE):
        number += 1
        if len(line) == _LONGEST_LINE:
            report(number, f"is longer than {_LONGEST_LINE:,} letters. This is no list of pictures.")
            return
        if not line.isascii() and any("\ud800" <= letter <= "\udfff" for letter in line):
            report(number, "is not UTF-8. Save the file as UTF-8.")
        yield line
