"""Which columns of an Arrow table hold pictures and classes, and what is in them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import UserError, suggest

if TYPE_CHECKING:
    import numpy as np

_LIKELY = {"image": ("image", "img", "picture"), "label": ("label", "labels", "class")}
log = logging.getLogger("strop")


@dataclass(frozen=True)
class Columns:
    """The two columns, and the names of the classes where the set has a list of them."""

    image: str
    label: str
    names: Sequence[str] | None

    def pictures(self, table: Any, where: str) -> list[Any]:
        """The stored bytes, a binary array a chunk; none is read. Raises UserError where only paths are stored."""
        chunks = [_bytes_of(chunk) for chunk in table.data.column(self.image).chunks]
        chunks = [chunk for chunk in chunks if len(chunk)]
        if all(chunk.null_count == len(chunk) for chunk in chunks):
            raise UserError(
                where,
                f"column '{self.image}' says only where pictures lie and does not hold them. Save the set with "
                "to_parquet(), which puts them in, and read that.",
            )
        return chunks


@dataclass(frozen=True)
class Labels:
    """What the label column says: (N,) positions in `texts`."""

    numbers: np.ndarray
    texts: Sequence[str]

    def number(self, classes: Mapping[str, int]) -> np.ndarray:
        """(N,) int64, the position of each row's class."""
        import numpy as np

        return np.array([classes.get(text, -1) for text in self.texts], np.int64)[self.numbers]


def find_columns(table: Any, where: str, image: str | None = None, label: str | None = None) -> Columns:
    """The columns that are named, else the only ones of their kind, else those of the usual name.

    Raises:
        UserError: there is none, or there are several; with their names.
    """
    schema, features = table.data.schema, table.features
    pictures = [field.name for field in schema if _holds_bytes(field.type)]
    listed = [name for name, kind in features.items() if type(kind).__name__ == "ClassLabel"]
    plain = [field.name for field in schema if _is_plain(field.type) and field.name in _LIKELY["label"]]
    image = _choose(image, pictures, schema.names, "image", "pictures", where)
    label = _choose(label, listed or plain, schema.names, "label", "classes", where)
    if image not in pictures:
        raise UserError(where, f"column '{image}' is of type {schema.field(image).type}, which holds no pictures.")
    if not _is_plain(schema.field(label).type):
        raise UserError(where, f"column '{label}' is of type {schema.field(label).type}, no text or whole number.")
    return Columns(image, label, list(features[label].names) if label in listed else None)


def _choose(named: str | None, found: list[str], known: list[str], option: str, what: str, where: str) -> str:
    if named is not None:
        if named not in known:
            raise UserError(where, f"there is no column '{named}'. {suggest(named, known)}")
        return named
    usual = [name for name in _LIKELY[option] if name in found]
    if len(found) == 1 or usual:
        return found[0] if len(found) == 1 else usual[0]
    place = where.partition("?")[0]
    if found:
        many = ", ".join(f"'{name}'" for name in found)
        raise UserError(where, f"several columns hold {what}: {many}. Name one: {place}?{option}={found[0]}")
    columns = ", ".join(f"'{name}'" for name in known)
    raise UserError(where, f"no column holds {what}. Its columns: {columns}. Name one: {place}?{option}=COLUMN")


def read_labels(table: Any, columns: Columns, where: str) -> Labels | None:
    """The class of each row; None for a split without any, such as the test split of a competition.

    Raises:
        UserError: rows without a class among others.
    """
    import numpy as np
    import pyarrow as arrow

    if columns.label not in table.data.schema.names:
        raise UserError(where, f"has no column '{columns.label}', as train has. Write the set again.")
    texts = table.data.column(columns.label).cast(arrow.string()).combine_chunks()
    coded = (texts if isinstance(texts, arrow.Array) else texts.chunk(0)).dictionary_encode()
    known = [text.strip() for text in coded.dictionary.to_pylist()]
    numbers = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    nothing = [-1, *(i for i, text in enumerate(known) if not text or (columns.names and text.startswith("-")))]
    missing = np.flatnonzero(np.isin(numbers, nothing))
    if len(missing) == len(numbers):
        log.warning("%s: without labels, passed over", where)
        return None
    if len(missing):
        raise UserError(where, f"row {missing[0]} has no label in column '{columns.label}' ({len(missing)} such rows).")
    return Labels(numbers, known)


def _holds_bytes(kind: Any) -> bool:
    import pyarrow as arrow

    if arrow.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _holds_bytes(kind.field("bytes").type)
    return arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind)


def _is_plain(kind: Any) -> bool:
    import pyarrow as arrow

    tests = (arrow.types.is_string, arrow.types.is_large_string, arrow.types.is_integer, arrow.types.is_boolean)
    return any(test(kind) for test in tests)


def _bytes_of(chunk: Any) -> Any:
    import pyarrow as arrow

    return chunk.field("bytes") if arrow.types.is_struct(chunk.type) else chunk
