"""Rows that were measured and timed in two runtimes: which figures stand where."""

import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from strop.errors import UserError
from strop.report import formats
from strop.report.columns import groups
from strop.report.layouts import chosen, sort_rows
from strop.report.models import read_models
from strop.report.page import write_page
from strop.report.rows import collect
from strop.report.runtimes import others, within
from strop.report.sections.runtimes import runtimes
from strop.report.table import table

HOSTILE = '"><img src=x onerror=alert(1)></script>'


def edit(path, change):
    found = json.loads(path.read_text(encoding="utf-8"))
    change(found)
    path.write_text(json.dumps(found), encoding="utf-8")


@pytest.fixture
def both(family):
    """The family, whose exports were measured in OpenVINO too (a picture of 500 less right, 3 apart) and timed there.

    There the student takes 2 ms and its int8 1 ms, but small-int8 as long as small.
    """
    folders, paths = family

    def measure(result):
        about = {name: result["measured"][0][name] for name in ("split", "n", "accuracy", "accuracy_interval")}
        differ = {"index": 7, "name": HOSTILE, "true": "bag", "onnxruntime": "bag", "openvino": "boot"}
        result["runtimes"] = [
            {"name": "onnxruntime", "version": "1.31.1", **about},
            {"name": "openvino", "version": "2026.4.1", **about, "accuracy": about["accuracy"] - 1 / 500,
             "disagreements": {"to": "onnxruntime", "count": 3, "listed": [differ]}},
        ]  # fmt: skip

    def time(result):
        p50 = {"student-onnx": 2.0, "student-int8-onnx": 1.0, "small-onnx": 0.5, "small-int8-onnx": 0.5}
        for row in list(result["bench"]):
            if row["id"] in p50:
                there = row | {"runtime": "openvino", "latency_ms": {"p50": p50[row["id"]], "p95": 3.0, "n": 200}}
                if "int8" in row["id"]:
                    low = 0.45 if row["id"] == "student-int8-onnx" else 0.9
                    there["float_ratio"] = {"to": "its float", "latency": 1.0, "latency_interval": [low, low + 0.2]}
                result["bench"].append(there)

    for path in paths:
        edit(path.parent / f"{path.name}-onnx" / "result.json", measure)
    edit(folders.root / "bench" / "result.json", time)
    return folders, paths


def test_each_runtime_has_its_own_figures(both):
    """What stands in the table stays ONNX Runtime's; beside it are OpenVINO's, of the file that ships."""
    rows, notes = collect(both[1])
    assert others(rows) == ["openvino"]
    [student] = [row for row in rows if row.id == "student"]
    [there] = within([student], "openvino")
    assert student.measured["runtime"] == "onnxruntime" and student.p50 == 3.12
    assert there.accuracy == pytest.approx(student.accuracy - 1 / 500) and there.p50 == 2.0
    assert there.measured["split"] == "test" and there.figure("macro_f1") is None
    teacher = within([row for row in rows if row.id == "teacher"], "openvino")[0]
    assert teacher.p50 is None and teacher.accuracy is not None
    assert any("one interleaved bench ('bench'): onnxruntime, beside it openvino" in note for note in notes)


def test_int8_is_judged_in_each_runtime(both):
    """small-int8 pays in neither; student-int8 in both: 1.42 ms of 3.12, and there an interval below 1."""
    rows, notes = collect(both[1])
    assert [note for note in notes if "does not pay" in note] == [
        "int8 does not pay for small-int8 (!): it takes 1.1 times as long as small.",
        "int8 does not pay for small-int8 in openvino (!): it takes 1.00 [0.90, 1.10] times as long as its float.",
    ]
    column = chosen("name,latency@openvino", rows)[1]
    assert column.title == "openvino latency p50" and column.cells == ["-", "2.00", "0.500", "1.00", "! 0.500"]
    assert [row.id for row in sort_rows(rows, "latency@openvino")][:2] == ["small", "small-int8"]


def test_the_table_has_them_in_80_columns_and_in_every_format(both):
    rows, notes = collect(both[1])
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(table(rows, notes))
    text = console.export_text()
    assert "3 of 500" in text and max(map(len, text.splitlines())) <= 80
    assert [column.name for column in groups(rows)[-1]] == [
        "accuracy@openvino",
        "other-answers@openvino",
        "latency@openvino",
    ]
    assert "openvino test accuracy % [95 %] | openvino latency p50 ms |" in formats.markdown(rows)
    assert "openvino test accuracy & openvino latency p50 \\\\" in formats.latex(rows)
    assert "openvino other answers" in formats.html(rows)
    [student] = [row for row in json.loads(formats.json(rows))["rows"] if row["id"] == "student"]
    there = student["runtimes"]["openvino"]
    assert (there["n"], there["other_answers"], there["latency_ms_p50"]) == (500, 3, 2.0)
    assert "openvino_accuracy,openvino_accuracy_low" in formats.csv(rows).splitlines()[0]


def test_rows_of_one_runtime_say_nothing_of_others(family):
    rows, _ = collect(family[1])
    assert others(rows) == [] and len(groups(rows)) == 3 and "runtimes" not in formats.record(rows[0])
    with pytest.raises(UserError, match="Measure and time with --runtime onnxruntime,openvino"):
        chosen("name,latency@openvino", rows)
    with pytest.raises(UserError, match="'latncy@openvino' is not a column"):
        chosen("name,latncy@openvino", rows)


def test_a_runtime_that_no_row_knows_is_refused(both):
    rows, _ = collect(both[1])
    with pytest.raises(UserError, match="'latency@openvin' is of no further runtime .* Did you mean 'openvino'"):
        chosen("latency@openvin", rows)


def test_an_evaluation_in_openvino_alone_stands_beside(family):
    """It has predictions, and still ONNX Runtime's figures stay in the table; one on other pictures is not theirs."""
    folders, paths = family
    for name, data, accuracy in (("there", "blake2b:d0", 0.85), ("elsewhere", "blake2b:other", 0.5)):
        path = folders.evaluate(name, "small-int8-onnx", accuracy, data=data)
        (path / "predictions.parquet").touch()
        edit(path / "result.json", lambda result: result["measured"][0].update(runtime="openvino"))
    rows, _ = collect(paths)
    small = rows[-1]
    assert small.id == "small-int8" and small.measured["runtime"] == "onnxruntime"
    assert within([small], "openvino")[0].accuracy == pytest.approx(0.85)


def test_a_row_that_is_not_ranked_has_no_accuracy_there_either(both):
    """Its accuracies are of other pictures, in each runtime; its latencies stay."""
    rows, _ = collect(both[1])
    [*others_, small] = rows
    rows = [*others_, replace(small, measured=None, unranked=small.measured)]
    assert others(rows) == ["openvino"]
    there = within(rows, "openvino")[-1]
    assert there.measured is None and there.p50 == 0.5


def test_the_page_shows_each_runtime(both):
    """A line a runtime, whole figures behind the rounded ones, pictures by name, escaped; silent with one runtime."""
    folders, paths = both
    models = read_models(collect(paths).rows)
    page = runtimes(models[-1])
    result = json.loads((folders.root / "small-int8-onnx" / "result.json").read_text())
    assert f'<data value="{result["runtimes"][1]["accuracy"]}">' in page and '<data value="0.5">! 0.500</data>' in page
    assert "openvino 2026.4.1" in page and "3 of 500" in page
    assert "in openvino it takes 1.00 [0.90, 1.10] times as long" in page
    assert "bag in onnxruntime, boot in openvino" in page and "<img" not in page
    edit(folders.root / "small-int8-onnx" / "result.json", lambda result: result.pop("runtimes"))
    edit(folders.root / "bench" / "result.json", lambda result: result.update(bench=result["bench"][:5]))
    assert runtimes(read_models(collect(paths).rows)[-1]) == ""


def test_figures_of_each_runtime_are_those_of_the_files(both, tmp_path):
    """To the last digit, in every table of the page."""
    rows, notes = collect(both[1])
    write_page(rows, notes, tmp_path / "page.html", title="Report")
    shown = set(re.findall(r'<data value="([^"]*)">', (tmp_path / "page.html").read_text(encoding="utf-8")))
    known = re.findall(r"-?\d[\d.e+-]*", "".join(path.read_text() for path in both[0].root.glob("*/result.json")))
    assert shown <= set(known) and {repr(0.876 - 1 / 500), "9.84", "2.0"} <= shown
