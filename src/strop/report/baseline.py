"""Each row against a baseline, from the predictions of both on the same pictures. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError, suggest
from ..measure.paired import ALIKE, METHOD, Against, against
from .folders import Unusable
from .measurements import pictures

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from .rows import Row


def find(rows: Sequence[Row], name: str) -> Row:
    """The row of this id or folder. Raises UserError where there is none."""
    for row in rows:
        if row.id == name or Path(name).exists() and row.folder.samefile(name):
            return row
    raise UserError(f"--baseline {name}", f"is none of the rows. {suggest(name, [row.id for row in rows])}")


def compare_with(rows: Sequence[Row], baseline: Row) -> tuple[list[Row], list[str]]:
    """The rows with their verdicts, and the sentences that say them.

    Rows without usable predictions get no verdict; the sentences say which, and what to type.

    Raises:
        UserError: the baseline itself has no usable predictions.
    """
    first = _read(baseline)
    right, found, problems = {}, {}, []
    for row in rows:
        if row is baseline or row.measured is None:
            continue
        if pictures(row.measured) != pictures(baseline.measured):
            problems.append(f"{row.id} has no verdict: it was measured on other pictures than {baseline.id}.")
            continue
        try:
            right[row.id] = _aligned(_table(row), first)
        except Unusable as reason:
            problems.append(f"{row.id} has no verdict: it {reason}.")
    if right:
        found = against(_right(first), right)
    judged = [replace(row, against=found.get(row.id)) for row in rows]
    return judged, ([_say(baseline, found)] if found else []) + problems


def _say(baseline: Row, found: dict[str, Against]) -> str:
    """'Against student on 1,000 test pictures: small is worse (-2.1 points [-3.4, -0.8], p = 0.003). ...'"""
    n, split = baseline.measured.get("n"), baseline.measured["split"]
    ordered = sorted(found.items(), key=lambda item: (item[1].verdict == ALIKE, -item[1].difference))
    parts = [f"{name} is {sentence(verdict)}" for name, verdict in ordered]
    return f"Against {baseline.id} on {n:,} {split} pictures: {'; '.join(parts)}. By the {METHOD}."


def sentence(verdict: Against) -> str:
    """The verdict with its figures.

    >>> sentence(Against(-0.021, -0.034, -0.008, 10, 31, 0.0015, 0.003, "worse"))
    'worse (-2.1 points [-3.4, -0.8], p = 0.003)'
    """
    difference, low, high = (f"{100 * value:+.1f}" for value in verdict[:3])
    p = "p < 0.001" if verdict.adjusted < 0.001 else f"p = {verdict.adjusted:.3f}"
    return f"{verdict.verdict} ({difference} points [{low}, {high}], {p})"


def _read(baseline: Row) -> pa.Table:
    if baseline.measured is None:
        raise UserError(
            f"--baseline {baseline.id}", f"nothing was measured on it. Write: strop evaluate {baseline.folder}"
        )
    try:
        return _table(baseline)
    except Unusable as reason:
        raise UserError(f"--baseline {baseline.id}", f"it {reason}.") from None


def _table(row: Row) -> pa.Table:
    """Name, true and predicted class of each picture; checked against what result.json says of it.

    Raises:
        Unusable: there is no such file, or it is not that of the measurement in the table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    split, n = row.measured["split"], row.measured.get("n")
    if row.predictions is None:
        folder = row.folder if row.export is None else row.folder.with_name(row.export)
        raise Unusable(f"has no predictions on these pictures; write: strop evaluate {folder} --split {split}")
    try:
        with pq.ParquetFile(row.predictions, memory_map=True) as file:
            if file.metadata.num_rows != n:
                raise Unusable(f"has predictions of {file.metadata.num_rows:,} pictures, and {n:,} were measured")
            table = file.read(["name", "true", "predicted"])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        if isinstance(error, Unusable):
            raise
        raise Unusable(f"has predictions that can't be read ({str(error).splitlines()[0][:80]})") from None
    if table.column_names != ["name", "true", "predicted"]:
        raise Unusable("has predictions without name, true and predicted class")
    share = _right(table).mean()
    if abs(share - row.accuracy) > 1e-9:
        raise Unusable(f"has predictions of accuracy {share:.4f}, and {row.accuracy:.4f} was measured")
    return table


def _right(table: pa.Table) -> np.ndarray:
    import pyarrow.compute as pc

    return pc.equal(table["true"], table["predicted"]).to_numpy().astype(bool)


def _aligned(table: pa.Table, first: pa.Table) -> np.ndarray:
    """Whether each picture was right, in the order of `first`. Raises Unusable where the pictures differ."""
    if not table["name"].equals(first["name"]):
        table, order = table.sort_by("name"), first.sort_by("name")
        if not table["name"].equals(order["name"]) or len(table["name"].unique()) < len(table):
            raise Unusable("was measured on pictures of other names; evaluate both on the same folder")
        places = dict(zip(table["name"].to_pylist(), range(len(table)), strict=True))
        table = table.take([places[name] for name in first["name"].to_pylist()])
    if not table["true"].equals(first["true"]):
        raise Unusable("was measured with other labels; evaluate both on the same folder")
    return _right(table)
