"""What was predicted for each picture, as a Parquet file that is written while pictures are measured."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

GROUP_ROWS = 65_536
GROUP_VALUES = 4_000_000  # 16 MB of probabilities


class Predictions:
    """Rows of a predictions.parquet; call it with what `evaluate` gives its `record`.

    Columns: name, true, predicted (strings), probability (float32, of the predicted class), probabilities (list of
    float32, in the order of the classes, which the schema's metadata hold as JSON). At most one row group, and the
    batch that fills it, is in memory.

    Args:
        writer: of `schema(classes)`.
        names, labels: of the pictures of the split, in its order.
        classes: K names.
    """

    def __init__(self, writer: pq.ParquetWriter, names: Sequence[str], labels: np.ndarray, classes: Sequence[str]):
        self.writer, self.names, self.labels, self.classes = writer, names, labels, classes
        self._held: list[pa.RecordBatch] = []

    def __call__(self, indices: Tensor, predicted: Tensor, probabilities: Tensor) -> None:
        """Add a batch: (B,) int64, (B,) int64, (B, K)."""
        self._held.append(self._rows(indices.numpy(), predicted.numpy(), probabilities.float().numpy()))
        rows = sum(batch.num_rows for batch in self._held)
        if rows >= GROUP_ROWS or rows * len(self.classes) >= GROUP_VALUES:
            self.write_group()

    def write_group(self) -> None:
        """Write what is held; `write_predictions` does it at the end."""
        if self._held:
            self.writer.write_table(pa.Table.from_batches(self._held, self.writer.schema))
            self._held.clear()

    def _rows(self, indices: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray) -> pa.RecordBatch:
        count, classes = probabilities.shape
        columns = [
            pa.array([_readable(self.names[i]) for i in indices.tolist()], pa.string()),
            pa.array([self.classes[label] for label in self.labels[indices].tolist()], pa.string()),
            pa.array([self.classes[label] for label in predicted.tolist()], pa.string()),
            pa.array(probabilities[np.arange(count), predicted]),
            pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32) * classes, probabilities.ravel()),
        ]
        return pa.record_batch(columns, schema=self.writer.schema)


def schema(classes: Sequence[str]) -> pa.Schema:
    texts = [(name, pa.string()) for name in ("name", "true", "predicted")]
    figures = [("probability", pa.float32()), ("probabilities", pa.list_(pa.float32()))]
    return pa.schema(texts + figures, metadata={"classes": json.dumps(list(classes), ensure_ascii=False)})


@contextmanager
def write_predictions(
    path: Path, names: Sequence[str], labels: np.ndarray, classes: Sequence[str]
) -> Iterator[Predictions]:
    """`Predictions` to fill within the block; the file is there, whole, when the block ends well. Raises OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with open(draft, "wb") as file:
            with pq.ParquetWriter(file, schema(classes), compression="zstd") as writer:
                predictions = Predictions(writer, names, labels, classes)
                yield predictions
                predictions.write_group()
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _readable(name: str) -> str:
    """A name as text: bytes of it that are no UTF-8 become \\xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
