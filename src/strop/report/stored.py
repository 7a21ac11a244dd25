"""What each layer takes in the file, before and after: figures of a table for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .columns import Column
from .numbers import DASH, percent, times

Row = Mapping[str, Any]


def stored_layers(result: Mapping[str, Any]) -> tuple[list[Row], str | None]:
    """The rows of a result.json, of `quantize` or `prune`, and what it says that they save; none where it has none."""
    for name in ("quantization", "pruning"):
        found = result.get(name)
        if isinstance(found, dict) and found.get("layers"):
            return found["layers"], found.get("note")
    return [], None


def total(rows: Sequence[Row]) -> dict[str, Any]:
    """A row for all of them: the share of zeros is over all weights, the ratio that of the sums."""
    weights = sum(row["weights"] for row in rows)
    before, after = (sum(row[f"bytes_{when}"] for row in rows) for when in ("before", "after"))
    return {
        "layer": f"{len(rows)} layers",
        "weights": weights,
        "sparsity": sum(row["sparsity"] * row["weights"] for row in rows) / max(1, weights),
        "bytes_before": before,
        "bytes_after": after,
        "ratio": before / after if after else None,
    }


def word_layer(row: Row) -> str:
    """Its name, and the rank of one that is two thin ones now.

    >>> word_layer({"layer": "layer2.0.conv1", "rank": 24})
    'layer2.0.conv1, rank 24'
    """
    return row["layer"] + (f", rank {row['rank']}" if "rank" in row else "")


def word_bits(row: Row) -> str:
    """Bits of a weight, and those that it takes in the file where these are others.

    >>> word_bits({"bits": 3, "stored_bits": 4}), word_bits({"bits": 8, "stored_bits": 8})
    ('3 in 4', '8')
    """
    bits, stored = row.get("bits"), row.get("stored_bits")
    return "" if bits is None else f"{bits} in {stored}" if stored not in (None, bits) else f"{bits}"


def word_ratio(ratio: float | None) -> str:
    return DASH if ratio is None else times(ratio)


def byte_columns(rows: Sequence[Row]) -> list[Column]:
    """One row a layer, and all of them together at last."""
    rows = [*rows, total(rows)]
    return [
        Column("layer", "", [word_layer(row) for row in rows], is_number=False),
        Column("zeros", "%", [percent(row["sparsity"]) for row in rows]),
        Column("bits", "", [word_bits(row) for row in rows]),
        Column("before", "bytes", [f"{row['bytes_before']:,}" for row in rows]),
        Column("after", "bytes", [f"{row['bytes_after']:,}" for row in rows]),
        Column("times", "smaller", [word_ratio(row["ratio"]) for row in rows]),
    ]
