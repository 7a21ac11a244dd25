"""What is seen of an epoch: a line that fits, rows that agree with metrics.jsonl, events, no bar in a pipe."""

import csv

import pytest

from strop.runs import Run
from strop.steps.epochs import COLUMNS, bar, duration, epoch_line, header

LINE = {
    "epoch": 999, "lr": 1.2345e-05, "seconds": 4000.0, "images_per_second": 123456.7,
    "train": {"loss": 98765.4321, "accuracy": 1.0, "recall": 1.0},
    "val": {"loss": 1e20, "accuracy": 1.0, "recall": 1.0},
}  # fmt: skip


@pytest.mark.parametrize("epochs", [3, 12, 999])
def test_lines_fit_eighty_columns(epochs):
    """The longest of everything, and all lines of one width, so that the columns stand below their names."""
    line = epoch_line(LINE | {"epoch": epochs}, epochs, 10**11)
    widths = {len(text) for text in [line, *header(epochs).splitlines()]}
    assert len(widths) == 1 and widths.pop() <= 80


def test_a_line_says_what_was_measured():
    """Loss, accuracy and recall of both, rate, pictures a second, time left (4 s for each of 90), memory."""
    train, val = {"loss": 0.5, "accuracy": 0.75, "recall": 0.5}, {"loss": 1.25, "accuracy": 0.625, "recall": 0.25}
    line = LINE | {"epoch": 10, "lr": 0.05, "seconds": 4.0, "images_per_second": 1200.0, "train": train, "val": val}
    words = "10/100 0.500 1.250 75.0 62.5 50.0 25.0 0.05 1,200 6:00 1.5"
    assert epoch_line(line, 100, 1_500_000_000).split() == words.split()
    assert epoch_line(line | {"val": None}, 100, 0).split()[2:7] == ["-", "75.0", "-", "50.0", "-"]


def test_durations():
    """Seconds, minutes, hours; rounded before they are divided."""
    assert [duration(s) for s in (0.4, 59.6, 125, 3599.9, 11_220)] == ["0 s", "1:00", "2:05", "1 h 00", "3 h 07"]


def test_no_bar_without_a_terminal(capsys):
    """In a pipe nothing is drawn."""
    with bar(10, 0) as show:
        show()
        show(5)
    assert capsys.readouterr() == ("", "")


def test_rows_are_those_of_the_metrics(trained):
    """results.csv has a row an epoch with the figures of metrics.jsonl."""
    run = trained / "runs" / "small"
    with open(run / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = Run(run).metrics()
    assert tuple(rows[0]) == COLUMNS and [int(row["epoch"]) for row in rows] == [line["epoch"] for line in lines]
    for row, line in zip(rows, lines, strict=True):
        assert float(row["val_recall"]) == line["val"]["recall"] and float(row["train_loss"]) == line["train"]["loss"]


def test_tensorboard_events(shapes, strop, tmp_path):
    """The events hold the same curves as metrics.jsonl."""
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    words = ["train", shapes, "--model", "cnn3", "--validation", "20%", "--epochs", 2, "--lr", 0.01]
    assert strop(*words, "--tensorboard").code == 0
    run = tmp_path / "runs" / "cnn3"
    events = reading.EventAccumulator(str(run / "tensorboard")).Reload()
    found = [(event.step, event.value) for event in events.Scalars("val/accuracy")]
    assert found == [(line["epoch"], pytest.approx(line["val"]["accuracy"])) for line in Run(run).metrics()]


def test_tensorboard_is_named_where_it_is_missing(shapes, strop, monkeypatch):
    """Said with what to install, and nothing is left behind."""
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    refused = strop("train", shapes, "--model", "cnn3", "--tensorboard")
    assert refused.code == 2 and "pip install 'strop[tracking]'" in refused.err
