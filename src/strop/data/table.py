"""A list of pictures: CSV, TSV, Parquet or text with a path and a label a row, and perhaps a split and a group."""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError, suggest
from .classes import sort_labels
from .files import open_files
from .hashes import HashStore
from .packed import PackedNames
from .rows import Row, read_rows, show
from .source import SPLIT_NAMES, SPLITS, FileSplit, Source

if TYPE_CHECKING:
    import numpy as np

_SHOWN = 10


@dataclass
class _Problems:
    """The first few in words, and the lines of all of them."""

    file: Path
    shown: list[tuple[int, str]] = field(default_factory=list)
    lines: array = field(default_factory=lambda: array("q"))

    @property
    def unit(self) -> str:
        return "row" if self.file.suffix.lower() == ".parquet" else "line"

    def add(self, line: int, sentence: str) -> None:
        self.lines.append(line)
        if len(self.shown) < _SHOWN:
            self.shown.append((line, sentence))

    def stop(self) -> None:
        """Raise if there are any."""
        more = len(self.lines) - len(self.shown)
        if self.lines:
            shown = [f"{self.unit} {line}: {sentence}" if line else sentence for line, sentence in sorted(self.shown)]
            rest = [f"... and {more} more; {len(self.lines)} in all"] if more else []
            raise UserError(str(self.file), *shown, *rest)


@dataclass
class _Columns:
    """What the rows say: `names` in Unicode NFC, `paths` as written (None: the same), the rest a number a row."""

    names: PackedNames
    paths: PackedNames | None
    labels: np.ndarray
    splits: np.ndarray
    groups: PackedNames | None
    lines: np.ndarray
    classes: tuple[str, ...]

    def take(self, rows: np.ndarray) -> _Columns:
        return replace(
            self,
            names=self.names.take(rows),
            paths=None if self.paths is None else self.paths.take(rows),
            labels=self.labels[rows],
            splits=self.splits[rows],
            groups=None if self.groups is None else self.groups.take(rows),
            lines=self.lines[rows],
        )


def open_table(file: Path) -> Source:
    """Read a table `path,label[,split[,group]]` whose paths are relative to its own folder.

    CSV, TSV and Parquet need a header with these names, in any order; a text file holds `path label`, or up to four
    values divided by tabs, without a header. Blanks around a value do not count. Splits are train, val (valid,
    validation) and test; without that column all is train. Pictures of one group never stand on two sides of a split.
    Classes are sorted, by value where all are whole numbers.

    Args:
        file: .csv, .tsv, .parquet or .txt; text in UTF-8; at most 4 GB.
    Raises:
        UserError: with line numbers, the first ten problems and their count: a path that is absolute, has "..",
            leads out of the folder, is not there, is no picture or is listed twice; an empty value; an unknown
            column or split. Where each row is sound: a label that train does not have; a group in two splits.
    """
    file = file.resolve()
    problems = _Problems(file)
    columns = _gather(file, problems)
    columns = _leave_out(columns, problems)
    order = columns.names.order()
    columns = columns if order is None else columns.take(order)
    _check_twice(columns, problems)
    if not problems.lines:
        _check_columns(columns, problems)
        problems.stop()
    store = HashStore(file.parent)
    splits = {
        name: _make_split(file.parent, columns, number, store, problems)
        for number, name in enumerate(SPLITS)
        if (columns.splits == number).any()
    }
    problems.stop()
    return Source(unicodedata.normalize("NFC", file.stem), str(file), columns.classes, splits)


def _gather(file: Path, problems: _Problems) -> _Columns:
    """One pass over the rows; of each a name and three numbers stay."""
    import numpy as np

    labels, splits, lines = array("q"), array("b"), array("q")
    classes: dict[str, int] = {}
    groups: list[str] = []

    def read(row: Row) -> str:
        if not row.label:
            problems.add(row.line, "the label is empty. Write the name of a class.")
        labels.append(classes.setdefault(row.label, len(classes)))
        splits.append(_read_split(row, problems))
        lines.append(row.line)
        groups.append(row.group)
        return _read_path(row, problems)

    paths = PackedNames(read(row) for row in read_rows(file, problems.add))
    if not len(paths) and not problems.lines:
        problems.add(0, "holds no rows. Write a path and a label for each picture.")
    names = None if paths.blob.isascii() else PackedNames(unicodedata.normalize("NFC", path) for path in paths)
    ordered = sort_labels(list(classes))
    place = {label: i for i, label in enumerate(ordered)}
    position = np.array([place[label] for label in classes], np.int64)
    return _Columns(
        paths if names is None else names,
        None if names is None else paths,
        position[np.array(labels, np.int64)],
        np.array(splits, np.int8),
        PackedNames(groups) if any(groups) else None,
        np.array(lines, np.int64),
        tuple(ordered),
    )


def _leave_out(columns: _Columns, problems: _Problems) -> _Columns:
    """Without the rows that are wrong already: what can be checked of the others is checked before all is told."""
    import numpy as np

    sound = np.flatnonzero(~np.isin(columns.lines, np.array(problems.lines, np.int64)))
    if not len(sound):
        problems.stop()
    return columns if len(sound) == len(columns.lines) else columns.take(sound)


def _read_split(row: Row, problems: _Problems) -> int:
    name = "train" if row.split is None else SPLIT_NAMES.get(row.split.lower())
    if name is None:
        what = f"{show(row.split)} is no split. {suggest(row.split, SPLITS)}" if row.split else "the split is empty."
        problems.add(row.line, what if row.split else f"{what} Write train, val or test.")
    return SPLITS.index(name or "train")


def _read_path(row: Row, problems: _Problems) -> str:
    path = row.path
    if not path:
        problems.add(row.line, "the path is empty.")
    elif "\0" in path:
        problems.add(row.line, f"{show(path)} holds a zero byte. Write the path of a picture.")
    elif path.startswith("/") or re.match(r"[A-Za-z]:[\\/]|\\\\", path):
        problems.add(row.line, f"{show(path)} is absolute. Write it relative to the folder of this file.")
    elif ".." in re.split(r"[\\/]", path):
        problems.add(row.line, f"{show(path)} leads out of its folder by '..'. Move the table above the pictures.")
    return posixpath.normpath(path)


def _check_columns(columns: _Columns, problems: _Problems) -> None:
    """What rows must be to each other; `columns` are sorted by name."""
    import numpy as np

    trained = np.isin(columns.labels, np.unique(columns.labels[columns.splits == 0]))
    if not (columns.splits == 0).any():
        problems.add(0, "no row is in train. Write train in the split column of the pictures to learn from.")
        return
    for row in np.flatnonzero(~trained).tolist():
        label, split = columns.classes[columns.labels[row]], SPLITS[columns.splits[row]]
        problems.add(int(columns.lines[row]), f"the label {show(label)} is in {split} but nowhere in train.")
    if len(columns.classes) == 1:
        problems.add(0, f"there is only one label, {show(columns.classes[0])}. Telling apart needs at least two.")
    _check_groups(columns, problems)


def _check_twice(columns: _Columns, problems: _Problems) -> None:
    for row, (a, b) in enumerate(pairwise(columns.names.raw())):
        if a != b:
            continue
        first, again = columns.lines[row], int(columns.lines[row + 1])
        label, other = (columns.classes[columns.labels[i]] for i in (row, row + 1))
        clash = "" if label == other else f", there as {show(label)} and here as {show(other)}"
        problems.add(
            again, f"{show(columns.names[row])} is listed on {problems.unit} {first} already{clash}. Keep one."
        )


def _check_groups(columns: _Columns, problems: _Problems) -> None:
    if columns.groups is None or (columns.splits == 0).all():
        return
    seen: dict[str, int] = {}
    for row, group in enumerate(columns.groups):
        before = seen.setdefault(group, row) if group else row
        if columns.splits[before] != columns.splits[row]:
            there = f"in {SPLITS[columns.splits[before]]} on {problems.unit} {columns.lines[before]}"
            here = f"in {SPLITS[columns.splits[row]]} here"
            problems.add(int(columns.lines[row]), f"the group {show(group)} is {there} and {here}. Keep it together.")


def _make_split(root: Path, columns: _Columns, number: int, store: HashStore, problems: _Problems) -> FileSplit:
    import numpy as np

    mine = columns if (columns.splits == number).all() else columns.take(np.flatnonzero(columns.splits == number))
    outside = list(_find_leading_out(os.fspath(root), mine.names if mine.paths is None else mine.paths))
    for row in outside:
        path = (mine.paths or mine.names)[row]
        problems.add(
            int(mine.lines[row]), f"{show(path)} is a link that leads out of the folder. Copy what it points to."
        )
    if outside:  # none of these is opened
        mine = mine.take(np.setdiff1d(np.arange(len(mine.lines)), outside))
    split, wrong = open_files(root, mine.names, mine.labels, paths=mine.paths, groups=mine.groups, store=store)
    for row, reason in wrong:
        hint = " Write / instead of \\." if "\\" in split.paths[row] else ""
        problems.add(int(mine.lines[row]), f"{show(split.paths[row])}: {reason}.{hint}")
    return split


def _find_leading_out(root: str, paths: PackedNames) -> Iterator[int]:
    """Rows whose file is not below `root` once links are followed; a folder is looked up once for all its files."""
    inside: dict[str, bool] = {}
    for row, path in enumerate(paths):
        folder = posixpath.dirname(path)
        if folder not in inside:
            inside[folder] = _is_below(root, os.path.realpath(os.path.join(root, folder)))
        full = os.path.join(root, path)
        if not inside[folder] or (os.path.islink(full) and not _is_below(root, os.path.realpath(full))):
            yield row


def _is_below(root: str, path: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")
