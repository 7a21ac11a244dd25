"""What `strop bench` prints: digits on a quiet machine, one digit and a sentence on another."""

import io
import json

import pytest
from rich.cells import cell_len
from rich.console import Console

from strop.report import speed
from strop.report.layouts import chosen
from strop.report.numbers import rough
from strop.report.rows import collect
from strop.report.table import table


def result(*, quiet=True, runtimes=("onnxruntime",)) -> dict:
    rows = []
    for runtime in runtimes:
        for number, name in enumerate(("student", "a-small-one-with-a-long-name", "twin")):
            low, high = (0.97, 1.02) if name == "twin" else (0.5 - 0.1 * number, 0.52)
            ratio = {"to": "student", "latency": 0.5, "latency_interval": [low, high]}
            rows.append({"id": name, "runtime": runtime, "latency_ms": {"p50": 1.2345, "p95": 1.3}, "ratio": ratio})
            rows[-1]["images_per_second"] = {"batch": 64, "value": 12678.0}
            rows[-1] |= {"cold_start": {"ms": 312.0}, "peak_memory_bytes": 69_000_000}
    rows[0]["profile"] = [{"layer": "conv1", "operator": "Conv", "ms": 0.5, "share": 0.25, "calls": 50}]
    noise = {"p95_over_p50": 1.1 if quiet else 3.3, "drift": 1.02, "quiet": quiet}
    return {"bench": rows, "noise": noise, "machine": {"threads": 1, "processor": "Example CPU"}}


def draw(found: dict) -> str:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(table([], speed.notes(found), speed.columns(found)))
    return console.export_text()


@pytest.mark.parametrize("runtimes", [("onnxruntime",), ("onnxruntime", "torch-compiled")])
def test_the_table_fits_80_columns(runtimes):
    text = draw(result(runtimes=runtimes))
    assert max(map(cell_len, text.splitlines())) <= 80 and "…" not in text
    assert ("torch-compiled" in text.replace("\n", "")) == (len(runtimes) > 1)


def test_digits_on_a_quiet_machine_only():
    """Three digits where they mean something; else one with a ~, a sentence, and the ratios as they are."""
    quiet, restless = draw(result()), draw(result(quiet=False))
    assert "1.23" in quiet and "12,678" in quiet and "not quiet" not in quiet
    assert "1.23" not in restless and "~1" in restless and "~10,000" in restless and "12,678" not in restless
    assert "not quiet: p95 is 3.3 times p50" in " ".join(restless.split())
    assert "0.50 [0.40, 0.52]" in quiet and "0.50 [0.40, 0.52]" in restless


def test_ratios_that_hold_one_are_not_told_apart():
    assert "Not told apart from student: twin." in speed.notes(result())
    assert "Not told apart" not in " ".join(speed.notes({**result(), "bench": result()["bench"][:2]}))


def test_a_percent_is_not_told_apart():
    """The same file, opened twice, differs by as much, whatever the interval of one bench says; 3 % is a difference."""
    found = result()
    for row, latency in zip(found["bench"][1:], (0.99, 0.97), strict=True):
        row["ratio"] |= {"latency": latency, "latency_interval": [latency - 0.005, latency + 0.005]}
    assert "Not told apart from student: a-small-one-with-a-long-name." in speed.notes(found)


def test_best_batches_and_the_machine_are_named():
    """Batches are whole numbers in a column of their own; the last line says what the machine was, and its load."""
    found = result()
    found["bench"][1]["images_per_second"] = {"batch": 8, "value": 900.0}
    found["machine"] |= {"cores": 2, "load": 7.86}
    column = next(column for column in speed.columns(found) if column.name == "batch")
    assert column.cells == ["64", "8", "64"]
    assert speed.notes(found)[-1] == "onnxruntime; 1 thread; Example CPU; 2 cores; load 7.9 before it."


def test_int8_that_is_not_surely_faster_is_named():
    """The interval of the ratio to its own float model decides, not that to the first row."""
    found = result()
    for row, interval in zip(found["bench"], ([0.9, 0.99], [0.97, 1.0], [1.1, 1.2]), strict=True):
        row["float_ratio"] = {"to": "rival", "latency": 0.985, "latency_interval": interval}
    said = [note for note in speed.notes(found) if "not faster than float" in note]
    assert said == [
        "a-small-one-with-a-long-name (!) is not faster than float: it takes 0.98 [0.97, 1.00] times as long as rival.",
        "twin (!) is not faster than float: it takes 0.98 [1.10, 1.20] times as long as rival.",
    ]
    assert [cell.startswith("! ") for cell in speed.columns(found)[1].cells] == [False, True, True]


def test_one_digit():
    assert [rough(value) for value in (0.0257, 0.0955, 1.96, 12678, 0, None)] == [
        "~0.03", "~0.1", "~2", "~10,000", "0", "-",
    ]  # fmt: skip


def test_compare_shows_one_digit_too(folders):
    """A bench that was not quiet gives ~0.7 instead of 0.673, in every column of it."""
    path = folders.model("net")
    folders.bench("bench", {"net": 0.673}, p95_over_p50=1.9)
    rows, _ = collect([path])
    assert [column.cells[0] for column in chosen("latency,p95,images/s", rows)] == ["~0.7", "~1", "~3,000"]


def test_profiles_name_their_model():
    [(title, columns)] = speed.profiles(result())
    assert title == "student: the 1 slowest nodes" and [column.cells[0] for column in columns] == [
        "conv1", "Conv", "0.500", "25",
    ]  # fmt: skip


def test_compare_takes_the_first_runtime_of_a_bench(folders):
    """Rows of a second runtime have the same hash; a column of latencies never mixes the two."""
    path = folders.model("net")
    bench = folders.bench("bench", {"net": 1.0})
    found = json.loads((bench / "result.json").read_text())
    slow = found["bench"][0] | {"runtime": "torch", "latency_ms": {"p50": 9.0, "p95": 9.9, "n": 5}}
    (bench / "result.json").write_text(json.dumps(found | {"bench": [*found["bench"], slow]}))
    rows, notes = collect([path])
    assert rows[0].p50 == 1.0 and any("onnxruntime, beside it torch, 1 thread" in note for note in notes)
    assert [column.cells for column in chosen("latency,latency@torch", rows)] == [["1.00"], ["9.00"]]
