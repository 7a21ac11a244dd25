"""Charts of weights: pages, a second run in its own colour, layers without a figure."""

import numpy as np
import pytest
from PIL import Image

from strop.report import weight_charts
from strop.report.weight_charts import write_charts

ORANGE = (0xE6, 0x9F, 0x00)


def layer(name: str, **more) -> dict:
    histogram = {"from": -1.0, "to": 1.0, "counts": [1, 5, 9, 5, 1]}
    figures = {"n": 21, "mean": 0.0, "sd": 0.4, "kurtosis": 3.0, "outliers": 0.0, "near_zero": 0.1, "zeros": 0.0}
    return figures | {"name": name, "int8_bits": 7.0, "response_sd": None, "histogram": histogram} | more


def has(path, colour) -> bool:
    with Image.open(path) as picture:
        return bool((np.abs(np.asarray(picture.convert("RGB")).astype(int) - colour).sum(axis=2) < 12).any())


def test_a_second_run_is_laid_over_the_first(tmp_path):
    """Its colour is there only where it is; without responses no chart of them is drawn."""
    for number, runs in enumerate(({"a": [layer("x")]}, {"a": [layer("x")], "b": [layer("x", sd=0.2)]})):
        folder = tmp_path / str(number)
        folder.mkdir()
        files = write_charts(runs, folder)
        assert [file.name for file in files] == ["histograms.png", "statistics.png"]
        assert all(has(file, ORANGE) == bool(number) for file in files)


def test_dead_layers_and_layers_of_one_run_only(tmp_path):
    """A layer of zeros has no kurtosis and no bits; a pruned run may lack a layer."""
    dead = {"from": -0.5, "to": 0.5, "counts": [0, 0, 21, 0, 0]}
    rows = [
        layer("x", response_sd=1.0),
        layer("dead", sd=0.0, kurtosis=None, int8_bits=None, zeros=1.0, histogram=dead),
    ]
    files = write_charts({"a": rows, "b": [layer("x")]}, tmp_path)
    assert [file.name for file in files] == ["histograms.png", "statistics.png", "responses.png"]


@pytest.mark.parametrize("count", [2, 3])
def test_many_layers_take_several_pages(tmp_path, monkeypatch, count):
    """Two on a page here; the third begins a second one."""
    monkeypatch.setattr(weight_charts, "ON_ONE_PAGE", 2)
    files = weight_charts.write_charts({"a": [layer(f"x{n}") for n in range(count)]}, tmp_path)
    pages = [file.name for file in files][:-1]
    assert pages == (["histograms.png"] if count == 2 else ["histograms-1.png", "histograms-2.png"])
