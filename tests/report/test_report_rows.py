import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import strop.report.rows
from strop.errors import UserError
from strop.report.rows import collect


def test_a_row_shows_the_file_that_ships(family):
    """Bytes, hash and accuracy of a row are those of the export beside it, and the model's own figures stay."""
    folders, paths = family
    rows, _ = collect(paths)
    small, export = rows[2], folders.result("small-onnx")
    assert [row.id for row in rows] == ["teacher", "student", "small", "student-int8", "small-int8"]
    assert (small.file, small.bytes, small.hash) == ("model.onnx", export["model"]["bytes"], export["model"]["hash"])
    assert small.measured == export["measured"][0]
    assert small.export == "small-onnx"
    assert small.parameters == 986_042
    assert small.metrics == paths[2] / "metrics.jsonl"


def test_rows_keep_the_order_given(family):
    """Turning the arguments round turns the rows round; a folder given twice is one row."""
    _, paths = family
    assert [row.id for row in collect([*paths[::-1], paths[0]]).rows] == [path.name for path in paths[::-1]]


def test_siblings_give_measurements_but_no_rows(family):
    """One run given is one row, though nine other models lie beside it; its export and bench are found."""
    _, paths = family
    rows, _ = collect([paths[1]])
    assert [(row.id, row.export, row.p50) for row in rows] == [("student", "student-onnx", 3.12)]


def test_export_alone_is_a_row_and_with_its_run_it_is_not(family):
    """An export stands for itself only where its run was not given."""
    folders, paths = family
    export = folders.root / "small-onnx"
    alone = collect([export]).rows
    assert [(row.id, row.file, row.p50) for row in alone] == [("small-onnx", "model.onnx", 0.61)]
    assert [row.id for row in collect([paths[2], export]).rows] == ["small"]


def test_given_export_beats_a_newer_sibling(folders):
    """Of two exports of a run the one on the command line is the one that ships; otherwise the newest."""
    run = folders.model("net")
    first = folders.export("first", "net", size=10)
    folders.export("second", "net", size=20)
    assert collect([run, first]).rows[0].bytes == 10
    assert collect([run]).rows[0].bytes == 20


def test_evaluation_adds_the_test_split(folders):
    """A run that measured val only takes test from the evaluate folder of its model."""
    run = folders.model("net", measured=[])
    assert collect([run]).rows[0].measured is None
    folders.evaluate("look", "net", 0.9, split="val")
    assert collect([run]).rows[0].measured["split"] == "val"
    folders.evaluate("look-test", "net", 0.8)
    assert collect([run]).rows[0].measured["split"] == "test"


def test_evaluations_of_other_pictures_give_way_to_shared_ones(folders):
    """Where one row was measured on two data sets, the one that the other rows share is shown."""
    runs = [folders.model(name) for name in ("a", "b", "c")]
    folders.evaluate("elsewhere", "a", 0.5, data="blake2b:other")
    assert {row.measured["data"] for row in collect(runs).rows} == {"blake2b:d0"}


def test_latencies_come_from_one_bench(folders):
    """The bench that holds most rows is used for all; of two equal ones the newer; the rest shows nothing."""
    runs = [folders.model(name) for name in ("a", "b", "c")]
    folders.bench("wide", {"a": 1.0, "b": 2.0})
    folders.bench("newer-but-narrow", {"c": 9.0})
    rows, notes = collect(runs)
    assert [row.p50 for row in rows] == [1.0, 2.0, None]
    assert any("does not hold c" in note for note in notes)
    folders.bench("wide-again", {"a": 1.5, "b": 2.5})
    assert [row.p50 for row in collect(runs).rows] == [1.5, 2.5, None]


def test_parents_are_found_by_hash_not_by_name(folders):
    """A parent that was made anew under the same name has another hash, and is no parent any more."""
    student = folders.model("student")
    small = folders.model("small", "prune", parents={"parent": "student"})
    rows = collect([student, small]).rows
    assert rows[1].parent("parent", rows) is rows[0]
    result = json.loads((student / "result.json").read_text())
    result["model"]["hash"] = "sha256:other"
    (student / "result.json").write_text(json.dumps(result))
    rows = collect([student, small]).rows
    assert rows[1].parent("parent", rows) is None


@pytest.mark.parametrize(
    "break_it, reason",
    [
        (lambda path: (path / "run.json").unlink(), "has no run.json"),
        (lambda path: (path / "result.json").write_text("{"), "result.json can't be read"),
        (lambda path: (path / "result.json").write_text('{"model": {}}'), "lacks 'name'"),
        (lambda path: (path / "result.json").write_text('{"model": NaN}'), "NaN is no number"),
        (lambda path: (path / "run.json").write_text("[]"), "holds no JSON object"),
    ],
)
def test_broken_folders_are_named_and_skipped(folders, break_it, reason):
    """A folder that can't be read costs a note, not the table."""
    good, bad = folders.model("good"), folders.model("bad")
    break_it(bad)
    rows, notes = collect([bad, good])
    assert [row.id for row in rows] == ["good"]
    assert any(note.startswith("bad is skipped") and reason in note for note in notes)


def test_unfinished_runs_are_no_results(folders):
    """Only status complete counts, whatever else the folder holds."""
    good, running = folders.model("good"), folders.model("late", status="running")
    rows, notes = collect([good, running])
    assert [row.id for row in rows] == ["good"]
    assert "late is skipped: train is unfinished." in notes


def test_accuracy_of_the_wrong_type_is_refused(folders):
    """A figure that is text was written by hand and is no measurement."""
    good, bad = folders.model("good"), folders.model("bad")
    result = json.loads((bad / "result.json").read_text())
    result["measured"][0]["accuracy"] = "0.9"
    (bad / "result.json").write_text(json.dumps(result))
    assert any("'accuracy' can't be '0.9'" in note for note in collect([good, bad]).notes)


def test_nothing_to_compare_is_the_users_to_fix(folders, tmp_path):
    """No model at all is an error that says why, folder by folder."""
    folders.model("net")
    bench = folders.bench("bench", {"net": 1.0})
    with pytest.raises(UserError, match="none of the folders holds a model"):
        collect([bench])
    with pytest.raises(UserError, match="nowhere is skipped: is not a folder"):
        collect([tmp_path / "nowhere"])


def test_same_ids_are_told_apart(folders):
    """Two runs called alike are named by their folders, so that a note points at one of them."""
    paths = [folders.model("one"), folders.model("two")]
    for path in paths:
        record = json.loads((path / "run.json").read_text())
        (path / "run.json").write_text(json.dumps(record | {"id": "same"}))
    assert [row.id for row in collect(paths).rows] == ["runs/one", "runs/two"]


def test_five_hundred_runs_are_collected_in_two_seconds(folders):
    """Comparing a large ladder stays instant."""
    paths = [folders.model(f"run-{number}", epochs=0) for number in range(500)]
    started = time.process_time()
    assert len(collect(paths).rows) == 500
    assert time.process_time() - started < 2


def test_best_checkpoint_is_the_file_that_ships(folders):
    """Training measures best and last; the row shows best even where last is more accurate."""
    best = folders.measure(0.8, file_hash="sha256:best", file="model.safetensors", split="val")
    last = folders.measure(0.9, file_hash="sha256:last", file="checkpoints/last.safetensors", split="val")
    row = collect([folders.model("net", measured=[last | {"checkpoint": "last"}, best])]).rows[0]
    assert row.accuracy == best["accuracy"] and row.is_shipped


def test_compare_is_public(family):
    """`strop.compare` gives the same rows as the command."""
    import strop

    _, paths = family
    assert strop.compare(*paths) == collect(paths)


def test_reports_never_import_torch(family, tmp_path):
    """Table and page need neither torch nor matplotlib; charts need no pyplot."""
    _, paths = family
    script = f"""
import sys
from pathlib import Path
from strop.report import charts, formats, page, rows
found, notes = rows.collect({[str(path) for path in paths]!r})
formats.markdown(found, notes)
page.write_page(found, notes, Path({str(tmp_path / "page.html")!r}), title="t")
assert "matplotlib" not in sys.modules
charts.fronts(found, Path({str(tmp_path / "fronts.png")!r}))
assert not {{"torch", "torchvision", "matplotlib.pyplot"}} & set(sys.modules)
"""
    source = str(Path(strop.report.rows.__file__).parents[2])
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONPATH": source})
