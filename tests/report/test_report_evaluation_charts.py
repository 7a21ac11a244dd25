"""Charts of an evaluation: drawn with what there is, Chinese names with their glyphs."""

import logging

import numpy as np
import pytest

from strop import fonts
from strop.report import charts
from strop.report.evaluation_charts import overlay, reliability_diagram, robustness


def bins():
    return [
        {
            "from": b / 15,
            "to": (b + 1) / 15,
            "n": b,
            "confidence": (b + 0.5) / 15 if b else None,
            "accuracy": 0.5 if b else None,
        }
        for b in range(15)
    ]


def test_reliability_with_and_without_temperature(tmp_path):
    """Empty bins are no points; without a temperature there is one line."""
    entry = {"reliability": bins(), "ece": 0.1, "n": 105, "split": "val"}
    reliability_diagram(entry, tmp_path / "a.png")
    reliability_diagram(
        entry | {"temperature": 1.5, "calibrated": {"ece": 0.02, "reliability": bins()}}, tmp_path / "b.png"
    )
    assert (tmp_path / "a.png").stat().st_size < (tmp_path / "b.png").stat().st_size


def test_robustness_draws_what_there_is(tmp_path):
    """Nothing, or one size: no file; corruptions, or two sizes: one panel each."""
    found = {
        "accuracy": 0.8,
        "n": 10,
        "split": "val",
        "sizes": [{"size": 8, "accuracy": None}, {"size": 9, "accuracy": 0.8}],
    }
    for nothing in ({}, found):
        robustness(nothing, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
    found["sizes"].append({"size": 16, "accuracy": 0.7})
    found["corruptions"] = [{"corruption": "jpeg", "strength": s, "accuracy": 0.5} for s in range(1, 6)]
    robustness(found, tmp_path / "both.png")
    assert (tmp_path / "both.png").stat().st_size > 10_000


def test_overlay_keeps_the_picture():
    """Left the picture, grey repeated; right it is red where the map is 1 and blue where it is 0."""
    picture = np.full((1, 4, 6), 100, np.uint8)
    cam = np.zeros((4, 6))
    cam[:, 3:] = 1
    made = overlay(picture, cam)
    assert made.shape == (3, 4, 12) and made.dtype == np.uint8 and (made[:, :, :6] == 100).all()
    assert made[0, 0, 11] > made[2, 0, 11] and made[2, 0, 6] > made[0, 0, 6]


@pytest.mark.skipif(not fonts.chinese_fonts(), reason="no font with Chinese glyphs is installed")
def test_chinese_names_in_a_gallery(tmp_path, monkeypatch):
    """Both lines of a caption have their glyphs: no word about missing ones."""
    said = []
    fonts.warn_of_missing.cache_clear()
    monkeypatch.setattr(logging.getLogger("strop"), "warning", said.append)
    rows = [{"class": "雏菊", "probability": 0.9, "truth": "郁金香"}] * 3
    charts.prediction_grid([np.zeros((3, 8, 16), np.uint8)] * 3, rows, tmp_path / "g.png")
    assert said == [] and (tmp_path / "g.png").stat().st_size > 5_000
