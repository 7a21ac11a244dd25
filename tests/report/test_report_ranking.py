"""Rows on the same pictures are ranked; a row on others is named and left out; where no two share any, nothing is."""

import json
import re

import pytest

import strop
from strop.cli import main
from strop.errors import UserError
from strop.report import formats
from strop.report.fronts import fronts
from strop.report.layouts import chosen
from strop.report.rows import collect
from strop.report.sections.table import table as page_table
from strop.report.verdict import judge


@pytest.fixture
def model(folders):
    """Writes a run that was measured on 500 pictures of this name."""

    def write(name, pictures, *, accuracy=0.9, **options):
        entry = folders.measure(accuracy, file_hash=f"sha256:{name}", file="f", **options)
        return folders.model(name, measured=[entry | {"pictures": pictures and f"blake2b:{pictures}"}])

    return write


def test_a_row_on_other_pictures_is_left_out_of_the_ranking(model):
    """It stays, without accuracy and front; the first note has its figure, why, and what to type."""
    paths = [model("a", "p", accuracy=0.8), model("c", "q", accuracy=0.98), model("b", "p")]
    rows, said = strop.compare(*paths)
    assert [(row.id, row.accuracy) for row in rows] == [("a", 0.8), ("c", None), ("b", 0.9)]
    assert [len(front.points) for front in fronts(rows)] == [2]
    assert said[0].startswith("Ranked are the 2 rows that were measured on the same 500 test pictures (p). Left out, ")
    assert said[0].endswith("theirs: c (98.0 % of 500 test pictures (q)).")
    assert said[0].replace("%", r"\%") in formats.latex(rows, said), "a reader of the printed table has to know"
    assert re.fullmatch(r"To rank all: strop evaluate \S+/c --split test", said[1]) and not any(
        note.startswith("Not measured on the test") for note in said
    )
    record = json.loads(formats.json(rows, said))["rows"][1]
    assert record["accuracy"] is None
    assert record["unranked"]["accuracy"] == 0.98 and record["unranked"]["pictures"] == "blake2b:q"


def test_what_is_left_out_has_no_accuracy_in_any_runtime(model, folders):
    """The page of `compare --out` has the row as it was."""
    paths = [model("a", "p"), model("c", "q"), model("b", "p")]
    for name in "ac":
        result = folders.result(name)
        about = {"version": "1", "accuracy": 0.97, "n": 500}
        result["runtimes"] = [{"name": "onnxruntime", **about}, {"name": "openvino", **about}]
        result["measured"][0]["runtime"] = "onnxruntime"
        (folders.root / name / "result.json").write_text(json.dumps(result))
    rows, _ = strop.compare(*paths)
    assert chosen("accuracy@openvino:0", rows)[0].cells == ["97", "-", "-"]
    assert rows[1].unranked.accuracy == 0.9 and "openvino" in rows[1].unranked.measured_in
    assert main(["compare", *map(str, paths), "--out", str(folders.root / "table")]) == 0
    page = (folders.root / "table" / "report.html").read_text(encoding="utf-8")
    assert page.count("on other pictures</small>") == 1 and page.count("<h3>In each runtime</h3>") == 2


def test_the_pictures_of_the_baseline_are_those_that_count(model):
    """However many rows have others."""
    paths = [model(name, pictures) for name, pictures in zip("abcde", "ppqqq", strict=True)]
    assert [row.id for row in strop.compare(*paths).rows if row.measured] == ["c", "d", "e"]
    with pytest.raises(UserError, match="--baseline a: it has no predictions"):
        strop.compare(*paths, baseline="a")


def test_where_no_two_share_pictures_nothing_is_ranked(model):
    """Who was measured on what, in lines that fit a terminal, and what to type: validation pictures are each run's own,
    so all have to be tested."""
    paths = [model(name, f"{name * 12}", split="val") for name in "abcdefghij"]
    with pytest.raises(UserError) as refused:
        strop.compare(*paths)
    lines = str(refused.value).splitlines()
    assert lines[:2] == [
        "compare: no two rows share their pictures: nothing can be ranked.",
        "  a: 500 val pictures (aaaaaaaa)",
    ]
    assert lines[7:9] == ["  and 4 more", "  Measure them on the same pictures:"] and lines[-1] == "  and so on"
    assert all(re.fullmatch(r"  strop evaluate \S+/[abc] --split test", line) for line in lines[9:12])
    assert [line for line in lines if len(line) > 80 and "strop evaluate" not in line] == []
    with pytest.raises(UserError, match="no row was measured on the pictures of b"):
        strop.compare(model("k", "x"), model("l", "x"), model("b2", "y"), baseline="b2")


def test_other_data_have_to_be_named(model):
    """Evaluating a run again would measure it on its own data; equal pictures under other data are equal."""
    paths = [model("a", "p"), model("b", "p"), model("c", "q", data="blake2b:other")]
    assert strop.compare(*paths).notes[1].endswith("/c DATA --split test")
    same = [model(f"n{i}", "p", data=f"blake2b:{i}") for i in range(2)]
    assert all(row.measured for row in strop.compare(*same).rows)


def test_a_front_is_of_one_set_of_pictures(model):
    """The report keeps every row's own figures, and draws and judges only those that share their pictures."""
    rows, said = collect([model("a", "p", accuracy=0.8), model("c", "q", accuracy=0.98), model("b", "p")])
    assert [[i for i, _ in front.points] for front in fronts(rows)] == [[0, 2]]
    assert judge(rows).best.id == "b" and rows[1].accuracy == 0.98
    cells = page_table(rows, rows[2]).split("<tr")[2:]
    assert ["on other pictures" in cell for cell in cells] == [False, True, False]
    assert any("They can't be compared." in note for note in said)


def test_a_folder_of_runs_stands_for_them(folders):
    """By name, unfinished ones and benches told apart as if each had been named; a run's own folder is itself."""
    for name in ("b", "a"):
        folders.model(name)
    folders.bench("bench", {"a": 1.0, "b": 2.0})
    folders.model("c", status="running")
    (folders.root / "notes").mkdir()
    rows, said = strop.compare(folders.root)
    assert [(row.id, row.p50) for row in rows] == [("a", 1.0), ("b", 2.0)]
    assert "c is skipped: train is unfinished." in said and not any("notes" in note for note in said)
    assert [row.id for row in strop.compare(folders.root / "a").rows] == ["a"]
    with pytest.raises(UserError, match="runs: notes is skipped: has no run.json, and holds no folder with one"):
        strop.compare(folders.root / "notes")
