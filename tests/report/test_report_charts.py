import logging
import warnings

import numpy as np
import pytest
from PIL import Image

from strop import fonts
from strop.report import charts
from strop.report.places import Box, place_labels
from strop.report.rows import collect
from strop.runs import read_metrics


def pixels_of(path) -> np.ndarray:
    """(H, W, 3) integers."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_rows_of_the_matrix_are_the_true_classes(tmp_path):
    """All pictures predicted as the first class: the dark cells fill the left column, from top to bottom."""
    charts.confusion_matrix([[10, 0], [10, 0]], ["a", "b"], tmp_path / "c.png", "t")
    pixels = pixels_of(tmp_path / "c.png")
    left = pixels[:, : pixels.shape[1] // 2]
    dark = np.argwhere(np.abs(left - (8, 48, 107)).sum(axis=2) < 12)
    assert np.ptp(dark[:, 0]) > 0.6 * pixels.shape[0]
    charts.confusion_matrix([[10, 10], [0, 0]], ["a", "b"], tmp_path / "t.png", "t")
    turned = pixels_of(tmp_path / "t.png")[:, : pixels.shape[1] // 2]
    assert not (np.abs(turned - (8, 48, 107)).sum(axis=2) < 12).any()


@pytest.mark.parametrize("k", [2, 40])
def test_matrix_is_drawn_for_few_and_many_classes(tmp_path, k):
    """The picture grows with the classes, and names that look like formulas stay text."""
    charts.confusion_matrix(np.eye(k, dtype=int).tolist(), [f"$class_{i}" for i in range(k)], tmp_path / "c.png", "$t_")
    assert pixels_of(tmp_path / "c.png").shape[1] >= (700 if k == 2 else 1400)


def test_missing_glyphs_give_one_warning_with_the_remedy(tmp_path, monkeypatch):
    """Class names that no font can draw cost one sentence a process, not one for every glyph or picture."""
    said = []
    fonts.warn_of_missing.cache_clear()
    monkeypatch.setattr(logging.getLogger("strop"), "warning", said.append)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("c.png", "d.png"):
            charts.confusion_matrix([[1, 0], [0, 1]], ["\U000f0000", "\U000f0001"], tmp_path / name, "t")
    assert len(said) == 1 and "install one" in said[0]


def test_best_epoch_is_the_first_with_the_highest_validation_accuracy():
    """A tie goes to the earlier epoch; without validation there is none."""
    lines = [{"epoch": epoch, "val": {"accuracy": value}} for epoch, value in enumerate((0.5, 0.7, 0.7), 1)]
    assert charts.best_epoch(lines) == 2
    assert charts.best_epoch([{"epoch": 1, "train": {"loss": 1.0}}]) is None


def test_curves_are_drawn_with_and_without_validation(family, tmp_path):
    """One epoch, no validation and no lines at all are ordinary runs too."""
    _, paths = family
    metrics = read_metrics(paths[0] / "metrics.jsonl")
    for number, lines in enumerate((metrics, metrics[:1], [{k: v for k, v in metrics[0].items() if k != "val"}], [])):
        charts.train_details(lines, tmp_path / f"{number}.png")
        assert pixels_of(tmp_path / f"{number}.png").shape[1] > 1000


def test_torn_last_line_of_metrics_is_left_out(family):
    """A kill in the middle of a line costs that line only."""
    _, paths = family
    file = paths[0] / "metrics.jsonl"
    whole = read_metrics(file)
    file.write_text(file.read_text() + '{"epoch": 17, "tr')
    assert read_metrics(file) == whole


def test_fronts_are_drawn_without_latencies(folders, tmp_path):
    """The second panel says that nothing was measured, and the first stands."""
    charts.fronts(collect([folders.model("lonely")]).rows, tmp_path / "f.png")
    assert pixels_of(tmp_path / "f.png").shape == (780, 1950, 3)


def test_labels_hide_neither_points_nor_each_other():
    """Thirty points in a cluster: every placed label is free, inside the frame, and most find a place."""
    random = np.random.default_rng(0)
    points = [tuple(point) for point in random.uniform(100, 500, (30, 2))]
    sizes, frame, gap = [(60, 12)] * 30, Box(0, 0, 600, 600), 8
    placed = [Box(x, y, x + 60, y + 12) for x, y in filter(None, place_labels(points, sizes, frame, gap=gap))]
    assert len(placed) >= 25
    assert all(frame.holds(box) for box in placed)
    assert not any(a.overlaps(b) for i, a in enumerate(placed) for b in placed[:i])
    assert not any(box.left < x < box.right and box.bottom < y < box.top for box in placed for x, y in points)


def test_wrong_predictions_are_framed(tmp_path):
    """The frame's colour is in the picture only where a truth is known and differs."""
    pictures = [np.zeros((1, 8, 8), np.uint8), np.zeros((3, 8, 8), np.uint8)]
    right = [{"class": "a", "probability": 0.9, "truth": "a"}, {"class": "b", "probability": 0.5}]
    wrong = [right[0], right[1] | {"truth": "a"}]

    def has_frame(predictions) -> bool:
        charts.prediction_grid(pictures, predictions, tmp_path / "g.png")
        return bool((np.abs(pixels_of(tmp_path / "g.png") - (0xD5, 0x5E, 0)).sum(axis=2) == 0).any())

    assert not has_frame(right) and has_frame(wrong)
