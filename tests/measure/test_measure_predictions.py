"""predictions.parquet: rows in order, the same numbers as the scores, bounded groups, whole or not there."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from strop.measure import predictions
from strop.measure.predictions import write_predictions

CLASSES = ("rose", "雏菊", "tulip")
NAMES = [f"rose/{number}.jpg" for number in range(10)]
LABELS = np.arange(10) % 3


def write(path, batches=(4, 4, 2)):
    """Ten pictures in batches; the probabilities."""
    p = torch.randn(10, 3, generator=torch.Generator().manual_seed(0)).double().softmax(1)
    with write_predictions(path, NAMES, LABELS, CLASSES) as record:
        for part in torch.arange(10).split(list(batches)):
            record(part, p[part].argmax(1), p[part])
    return p.numpy()


def test_each_row_is_what_was_recorded(tmp_path):
    """Names, classes and float32 probabilities in the split's order; the classes stand in the file."""
    p = write(tmp_path / "p.parquet").astype(np.float32)
    table = pq.read_table(tmp_path / "p.parquet")
    assert table.schema.names == ["name", "true", "predicted", "probability", "probabilities"]
    found = table.to_pydict()
    assert found["name"] == NAMES and found["true"] == [CLASSES[label] for label in LABELS]
    assert found["predicted"] == [CLASSES[k] for k in p.argmax(1)]
    assert found["probability"] == p.max(1).tolist() and found["probabilities"] == p.tolist()
    assert str(table.schema.field("probabilities").type.value_type) == "float"
    assert json.loads(table.schema.metadata[b"classes"]) == list(CLASSES)


def test_memory_is_bounded_by_row_groups(tmp_path, monkeypatch):
    """A group is written as soon as it holds enough values, and the bytes do not depend on anything else."""
    monkeypatch.setattr(predictions, "GROUP_VALUES", 12)
    write(tmp_path / "p.parquet")
    about = pq.ParquetFile(tmp_path / "p.parquet").metadata
    assert [about.row_group(i).num_rows for i in range(about.num_row_groups)] == [4, 4, 2]
    write(tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "p.parquet").read_bytes()


def test_whole_or_not_there(tmp_path):
    """What stops in the middle leaves no file and no draft."""
    with pytest.raises(KeyboardInterrupt), write_predictions(tmp_path / "p", NAMES, LABELS, CLASSES) as record:
        record(torch.arange(2), torch.zeros(2).long(), torch.ones(2, 3) / 3)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_no_text(tmp_path):
    """Bytes that are no UTF-8 are shown, not fatal."""
    with write_predictions(tmp_path / "p", [b"\xff.jpg".decode("utf-8", "surrogateescape")], LABELS, CLASSES) as record:
        record(torch.zeros(1).long(), torch.zeros(1).long(), torch.ones(1, 3) / 3)
    assert pq.read_table(tmp_path / "p").column("name").to_pylist() == ["\\xff.jpg"]
