import json

import pytest

from strop.report.columns import build
from strop.report.front import front_columns
from strop.report.notes import findings
from strop.report.rows import collect


def test_teacher_that_is_no_better_is_named(family):
    """0.876 against 0.880: the teacher does not beat the student it taught; the pruned one it does beat."""
    _, paths = family
    said = [note for note in collect(paths).notes if note.startswith("Teacher")]
    assert said == ["Teacher teacher does not beat its student student (0.876 against 0.880)."]


def test_int8_that_is_not_faster_is_named_with_its_ratio(family):
    """0.67 ms against 0.61 ms of its float parent is 1.1x; the other int8 is faster and goes unmentioned."""
    _, paths = family
    rows, notes = collect(paths)
    said = [note for note in notes if "does not pay" in note]
    assert said == ["int8 does not pay for small-int8 (!): it takes 1.1 times as long as small."]
    marked = [row.id for row, cell in zip(rows, build("latency", rows).cells, strict=True) if "!" in cell]
    assert marked == ["small-int8"]
    words = dict(zip(*(column.cells for column in (front_columns(rows)[i] for i in (0, 4))), strict=True))
    assert {name for name, word in words.items() if word.endswith("; not faster than float")} == {"small-int8"}


@pytest.mark.parametrize(("interval", "is_said"), [([0.95, 0.99], False), ([0.97, 1.0], True), ([1.1, 1.2], True)])
def test_the_interval_says_whether_int8_is_faster(family, interval, is_said):
    """Where the bench timed both, it is faster only if the whole interval of its ratio is below 1."""
    folders, paths = family
    bench = folders.root / "bench" / "result.json"
    found = json.loads(bench.read_text())
    [row] = [row for row in found["bench"] if row["id"] == "small-int8-onnx"]
    row["float_ratio"] = {"to": "small-onnx", "latency": 0.98, "latency_interval": interval}
    bench.write_text(json.dumps(found))
    rows, notes = collect(paths)
    said = [note for note in notes if "does not pay" in note]
    assert any("!" in cell for cell in build("latency", rows).cells) == is_said
    low, high = interval
    words = f"it takes 0.98 [{low:.2f}, {high:.2f}] times as long as small-onnx"
    assert said == ([f"int8 does not pay for small-int8 (!): {words}."] if is_said else [])


def test_pruning_that_costs_more_than_two_points_is_named(folders):
    """Exactly 2 points are allowed, 2.2 are not."""
    parent = folders.model("parent", accuracy=0.900)
    fair = folders.model("fair", "prune", accuracy=0.880, parents={"parent": "parent"})
    poor = folders.model("poor", "prune", accuracy=0.878, parents={"parent": "parent"})
    said = findings(collect([parent, fair, poor]).rows)
    assert said == ["Pruned poor is 2.2 points below its parent parent (0.878 against 0.900)."]


def test_the_controls_of_a_pruned_run_are_told(folders):
    """Whether it beats its shape from scratch and its parent trained on, with the intervals of result.json."""
    scratch = {"difference": 0.012, "interval": [0.004, 0.02], "verdict": "better"}
    longer = {"difference": -0.001, "interval": [-0.006, 0.005], "verdict": "not told apart"}
    controls = {"n": 5000, "scratch": scratch, "longer": longer}
    run = folders.model("small", "prune", pruning={"controls": controls})
    assert findings(collect([run]).rows) == [
        "On 5,000 validation pictures small is better than its shape trained from scratch (+1.2 points [+0.4, +2.0]) "
        "and not told apart from its parent trained for longer (-0.1 points [-0.6, +0.5])."
    ]
    longer["interval"] = ["low", "high"]
    broken = folders.model("broken", "prune", pruning={"controls": controls})
    assert (
        "broken is skipped: result.json: pruning.controls.longer: 'low' can't be 'low'." in collect([run, broken]).notes
    )


def test_figures_of_different_pictures_are_not_set_against_each_other(folders):
    """A teacher measured on other pictures neither beats nor loses; the table says they can't be compared."""
    teacher = folders.model("teacher", accuracy=0.8)
    student = folders.model(
        "student",
        accuracy=0.9,
        parents={"teacher": "teacher"},
        measured=[folders.measure(0.9, file_hash="sha256:x", file="model.safetensors", data="blake2b:other")],
    )
    rows, notes = collect([teacher, student])
    assert findings(rows) == []
    assert "Accuracies were measured on different pictures: teacher against student. They can't be compared." in notes


def test_a_row_of_another_split_has_no_figure(folders):
    """The table stands on the split that most rows have; for the rest it says what to type."""

    def model(name, *splits):
        entries = [folders.measure(0.9, file_hash=f"sha256:{name}", file="f", split=split) for split in splits]
        return folders.model(name, measured=entries)

    rows, notes = collect([model("a", "test"), model("b", "test", "val"), model("c", "val"), model("d", "test")])
    assert [row.measured and row.measured["split"] for row in rows] == ["test", "test", None, "test"]
    assert any(note.startswith("Not measured on the test pictures: c. strop evaluate ") for note in notes)


def test_class_orders_are_named(folders):
    """Equal indices are other classes then."""
    turned = [folders.measure(0.9, file_hash="sha256:c", file="f", classes=folders.classes[::-1])]
    notes = collect([folders.model("a"), folders.model("b"), folders.model("c", measured=turned)]).notes
    assert "The classes or their order differ: a and b against c." in notes


def test_accuracy_of_another_file_is_named(folders):
    """An export without the test split takes the run's, and the note says that this file was not measured."""
    run = folders.model("net")
    folders.write(
        "net-onnx",
        "export",
        {"model": folders.result("net")["model"] | {"file": "model.onnx", "hash": "sha256:onnx"}, "measured": []},
        parents={"parent": "net"},
    )
    folders.evaluate("look", "net", 0.9)
    assert any(
        "another file than the one that ships for net (model.safetensors, not model.onnx)" in note
        for note in collect([run]).notes
    )


def test_looks_at_the_test_set_are_said_from_the_second_on(folders):
    """The highest number among the rows, once under the table; a single look is nothing to say."""
    runs = []
    for looks in (1, 2, 3):
        look = folders.measure(0.9, file="model.safetensors", file_hash="sha256:0") | {"looks": looks}
        runs.append(folders.model(f"net-{looks}", measured=[look]))
    [found] = [note for note in collect(runs).notes if "looked at" in note]
    assert found == "The test set has been looked at 3 times: what is chosen by it looks better than it is."
    assert not any("looked at" in note for note in collect(runs[:1]).notes)


def test_noisy_bench_is_named(folders):
    """p95 at 1.9 times p50 means that other work ran beside the bench."""
    run = folders.model("net")
    folders.bench("bench", {"net": 1.0}, p95_over_p50=1.9)
    assert "The machine was not quiet during the bench: p95 is 1.9x p50." in collect([run]).notes
