"""What `strop compare` shows: chosen columns, sorting, layouts, fronts, lineage, conditions, formats, refusals."""

import csv
import io
import json
import os
import re
import resource
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

import strop
from strop.errors import UserError
from strop.report import conditions, formats, lineage
from strop.report.columns import COLUMNS
from strop.report.fronts import fronts, marks
from strop.report.layouts import chosen, sort_rows
from strop.report.rows import collect
from strop.report.table import table


def draw(rows, columns=None, width=80) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(table(rows, [], columns))
    return console.export_text()


def cells(rows, name: str) -> list[str]:
    return chosen(name, rows)[0].cells


# Columns and sorting


def test_every_column_can_be_shown_and_sorted_by(family):
    """No figure of any column is lost at 80 columns, and sorting keeps every row."""
    _, paths = family
    rows, _ = collect(paths)
    text = draw(rows, chosen(",".join(COLUMNS), rows)).replace("\n", " ")
    for name in COLUMNS:
        assert len(cells(rows, name)) == len(rows)
        assert {row.id for row in sort_rows(rows, name)} == {row.id for row in rows}
        assert all(cell in text for column in chosen(name, rows) if column.is_number for cell in column.cells)
    assert max(map(cell_len, draw(rows, chosen(",".join(COLUMNS), rows)).splitlines())) <= 80


def test_decimals_are_chosen_with_a_column(family):
    """ResNet-18 has 11,172,810 parameters: 11.17 M with two decimals, 11.2 without."""
    _, paths = family
    rows, _ = collect(paths)
    assert (cells(rows, "params:2")[1], cells(rows, "params")[1]) == ("11.17", "11.2")
    assert "[" in cells(rows, "accuracy")[1] and cells(rows, "accuracy:2")[1] == "88.00"


def test_the_best_row_comes_first_whatever_best_means(family):
    """Accuracy falls, latency rises; `:asc` and `:desc` say it outright; what was not measured stands last."""
    folders, paths = family
    rows, _ = collect([*paths, folders.model("bare", measured=[])])
    by = {order: [row.id for row in sort_rows(rows, order)] for order in ("accuracy", "accuracy:asc", "latency")}
    assert by["accuracy"] == ["student", "student-int8", "teacher", "small", "small-int8", "bare"]
    assert by["accuracy:asc"] == ["small-int8", "small", "teacher", "student-int8", "student", "bare"]
    assert by["latency"][:2] == ["small", "small-int8"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rows: chosen("name,acuracy", rows), "'acuracy' is not a column. Did you mean 'accuracy'?"),
        (lambda rows: chosen("params:x", rows), "'params:x': write the number of decimals"),
        (lambda rows: chosen("params:99", rows), "'params:99': write the number of decimals"),
        (lambda rows: sort_rows(rows, "speed"), "--sort speed: is not a column"),
        (lambda rows: sort_rows(rows, "latency:up"), "Write latency, latency:asc or latency:desc"),
    ],
)
def test_wrong_columns_are_refused(family, call, message):
    with pytest.raises(UserError, match=re.escape(message)):
        call(collect(family[1]).rows)


def test_the_reference_layout_gives_the_published_rows(folders):
    """Rows 6 and 7 of the table of [000]: true positives, predicted counts, params, latency, MACs, throughput from
    there. Its 96.04 is macro precision; accuracy is the 96.01 and 95.98 that the counts give."""
    published = {
        "ResNet50": (
            [967, 969, 952, 935, 971, 927, 965, 967, 978, 970],
            [996, 987, 1005, 1038, 1005, 985, 981, 978, 1008, 1017],
            (23_528_522, 4_131_715_072, 2.897, 550.0, ["L2"]),
            ["23.529", "96.01", "96.01", "2.897", "4.132", "0.550"],
        ),
        "ResNet18": (
            [970, 978, 948, 934, 963, 912, 980, 969, 972, 972],
            [1006, 1003, 993, 1043, 999, 963, 1012, 976, 995, 1010],
            (11_181_642, 1_823_526_912, 1.199, 1600.0, ["L2", "di"]),
            ["11.182", "95.98", "95.98", "1.199", "1.824", "1.60"],
        ),
    }
    paths = []
    for name, (right, predicted, (params, macs, _, _, mode), _) in published.items():
        entry = folders.summarize(spread(right, predicted), folders.classes)
        entry |= {"split": "test", "hash": "sha256:x", "file": "model.safetensors", "data": "blake2b:cifar"}
        options = {"parameters": params, "macs": macs, "trained": mode}
        paths.append(folders.model(name, name=name.lower(), measured=[entry], **options))
    bench = folders.bench("bench", {name: figures[2][2] for name, figures in published.items()})
    result = json.loads((bench / "result.json").read_text())
    for row, figures in zip(result["bench"], published.values(), strict=True):
        row["images_per_second"]["value"] = figures[2][3]
    (bench / "result.json").write_text(json.dumps(result))
    rows, _ = collect(paths)
    columns = chosen("reference", rows)
    titles = ["#", "model", "mode", "input", "params", "test accuracy", "macro recall", "latency p50", "MACs"]
    assert [column.title for column in columns] == [*titles, "throughput"]
    for number, (*_, expected) in enumerate(published.values()):
        assert [column.cells[number] for column in columns[4:]] == expected
    assert [round(100 * row.figure("macro_precision"), 2) for row in rows] == [96.04, 96.01]


def spread(right: list[int], predicted: list[int]) -> list[list[int]]:
    """A confusion matrix with these true positives and predicted counts, 1,000 pictures a class."""
    wrong = [i for i, count in enumerate(right) for _ in range(1000 - count)]
    taken = [j for j, count in enumerate(predicted) for _ in range(count - right[j])]
    turn = next(t for t in range(len(wrong)) if all(i != j for i, j in zip(wrong, taken[t:] + taken[:t], strict=True)))
    matrix = [[count if i == j else 0 for j in range(len(right))] for i, count in enumerate(right)]
    for i, j in zip(wrong, taken[turn:] + taken[:turn], strict=True):
        matrix[i][j] += 1
    return matrix


def test_the_cifar100_layout(folders):
    """The columns of [002], in its order, then memory.

    It prints 219,044 parameters and a total size of 40.63 (MiB, batch 64) for CNN_2; the parts are its own.
    """
    parts = {"convention": "torchsummary", "input_bytes": 4 * 3 * 32 * 32, "parameter_bytes": 4 * 219_044}
    # 3 maps of 16 x 32 x 32, one of 16 x 16 x 16, 3 of 32 x 16 x 16, one of 32 x 8 x 8, 100 outputs.
    outputs = 3 * 16 * 32 * 32 + 16 * 16 * 16 + 3 * 32 * 16 * 16 + 32 * 8 * 8 + 100
    parts["forward_backward_bytes"] = 2 * 4 * outputs
    path = folders.model("cnn2", name="cnn2", parameters=219_044)
    result = json.loads((path / "result.json").read_text())
    result["model"]["total_size"] = parts
    result["training"] |= {"min_loss": 1.45, "final_loss": 1.9618, "seconds": 71.308, "optimizer": "adam"}
    (path / "result.json").write_text(json.dumps(result))
    rows, _ = collect([path])
    shown = {column.name: column.cells[0] for column in chosen("cifar100", rows)}
    assert shown | {"accuracy": ""} == {
        "model": "cnn2", "parameters": "219,044", "total-size-64": "40.63", "min-loss": "1.4500",
        "final-loss": "1.9618", "accuracy": "", "optimizer": "adam", "time": "0:01:11.31", "train-memory": "900",
        "test-memory": "-",
    }  # fmt: skip
    published = ["model", "parameters", "total-size-64", "min-loss", "final-loss", "accuracy", "optimizer", "time"]
    assert list(shown)[:-2] == published


# Fronts and lineage


def test_fronts_are_marked(family):
    """By size small-int8 < small < student-int8 < student < teacher, by time small < small-int8 < student-int8."""
    rows, said = collect(family[1])
    assert [row.id for row in rows] == ["teacher", "student", "small", "student-int8", "small-int8"]
    assert marks(rows) == ["-", "s t", "s t", "s t", "s"]
    assert sum(note.startswith("front: ") for note in said) == 1
    assert [len(front.points) for front in fronts(rows)] == [5, 5]
    assert fronts(rows[:1]) == [] and "front" not in draw(rows[:1])


def test_the_tree_has_each_row_once_below_its_parent(family):
    rows, _ = collect(family[1])
    lines = lineage.tree(rows)
    assert [re.match(r"[│├└─ ]*([\w-]+)", line)[1] for line in lines] == [
        "teacher", "student", "small", "small-int8", "student-int8",
    ]  # fmt: skip
    assert [len(re.match(r"[│├└─ ]*", line)[0]) for line in lines] == [0, 0, 3, 6, 3]
    assert lines[1].endswith("taught by teacher") and max(map(len, lines)) <= 80


def test_parents_outside_the_table_are_named(family):
    rows, _ = collect(family[1][2:3])
    assert lineage.tree(rows)[0] == "student (not in the table)"
    assert "small" in lineage.tree(rows)[1] and "taught by teacher" in lineage.tree(rows)[1]


def test_graphs_hold_every_link_and_any_name(folders):
    """Quotes, brackets and backslashes in ids end no label."""
    folders.model("plain")
    rows, _ = collect([folders.root / "plain", folders.model('a"]\\b', "prune", parents={"parent": "plain"})])
    mermaid, dot = lineage.mermaid(rows), lineage.dot(rows)
    assert "n0 --> n1" in mermaid and "a#34;#93;#92;b" in mermaid
    assert "n0 -> n1;" in dot and '"a\\"]\\\\b\\n' in dot
    assert dot.count("{") == dot.count("}") == 1


# Conditions and refusals


def data_json(path: Path, *, fingerprint="blake2b:f0", names=("a", "b"), rule="5% of train"):
    about = {"source": "set", "fingerprint": fingerprint, "validation": {"rule": rule, "names": list(names)}}
    (path / "data.json").write_text(json.dumps(about))
    return path


def test_same_conditions_are_not_talked_about(folders):
    rows, said = collect([data_json(folders.model(name)) for name in "abc"])
    assert conditions.differences(rows) == []
    assert conditions.holds(rows) == {"same_data": True, "same_split": True, "same_budget": True}


def test_each_condition_that_differs_is_said_once(folders):
    """Other data, other validation pictures of the same data, other epochs."""
    rows, _ = collect([data_json(folders.model("a")), data_json(folders.model("b"), fingerprint="blake2b:f1")])
    assert conditions.differences(rows) == ["Trained on different data: 'set' (f0) for a; 'set' (f1) for b."]
    rows, _ = collect([folders.root / "a", data_json(folders.model("c", epochs=9), names=("a",), rule="10% of train")])
    assert conditions.differences(rows) == [
        "Different validation pictures were held out: 2 (5% of train) for a; 1 (10% of train) for c.",
        "The training budgets differ: 12 epochs for a; 9 epochs for c.",
    ]
    assert conditions.holds(rows) == {"same_data": True, "same_split": False, "same_budget": False}


def test_the_budget_of_a_child_holds_that_of_its_parents(folders):
    """12 epochs, pruned, 10 more, quantized: 12 + 10, though the parents are not in the table."""
    folders.model("student", epochs=12)
    folders.model("small", "prune", epochs=10, parents={"parent": "student"})
    child = folders.model("int8", "quantize", epochs=0, parents={"parent": "small"})
    [row] = collect([child]).rows
    assert conditions.epochs(row) == (12, 10)


def test_parents_elsewhere_are_not_followed(folders, tmp_path):
    """run.json may say any path; only folders beside the row's own are read, and only with the right hash."""
    folders.model("student", epochs=12)
    child = folders.model("small", "prune", epochs=10, parents={"parent": "student"})
    record = json.loads((child / "run.json").read_text())
    for wrong in ({"path": "../../elsewhere"}, {"path": "."}, {"hash": "sha256:other"}, {"path": 7}):
        changed = record | {"parents": {"parent": record["parents"]["parent"] | wrong}}
        (child / "run.json").write_text(json.dumps(changed))
        assert conditions.epochs(collect([child]).rows[0]) == (10,)


def test_rows_stand_on_pictures_that_all_were_measured_on(folders):
    """One row has no test figure: all show validation, a note says how to get it, --split test shows the others."""
    paths = [folders.model(name) for name in "ab"]
    only = folders.measure(0.8, file_hash="sha256:x", file="model.safetensors", split="val", data="blake2b:v0")
    paths.append(folders.model("c", measured=[only]))
    rows, said = collect(paths)
    assert {row.measured["split"] for row in rows} == {"val"}
    assert any(note.startswith("On the test pictures only a and b can be shown (--split test).") for note in said)
    rows, said = collect(paths, split="test")
    assert [row.measured and row.measured["split"] for row in rows] == ["test", "test", None]
    assert any(note.startswith("Not measured on the test pictures: c. strop evaluate ") for note in said)


# Formats


def test_latex_compiles_by_its_own_rules(folders):
    """Every special letter of TeX is escaped, each line has the same cells, environments and braces are closed."""
    nasty = "50%_of #1 & {x} ~^ [b]$\\"
    paths = [folders.model("a", name=nasty, trained=[nasty]), folders.model("b")]
    rows, _ = collect(paths)
    text = formats.latex(rows, [f"note {nasty}", "type strop bench % a"], chosen("all", rows))
    inside = text[text.index("\\toprule") : text.index("\\bottomrule")]
    bare = re.sub(r"\\[&%$#_{}]|\\text\w+\{\}|\$-\$|\$\\times\$", "", inside)
    assert not re.search(r"[%$#_~^]", bare)
    lines = [line for line in bare.splitlines() if line.endswith(r"\\")]
    columns = len(re.search(r"\\begin\{tabular\}\{@\{\}([lr]+)@\{\}\}", text)[1])
    assert len(lines) == 4 and {line.count("&") for line in lines} == {columns - 1}
    plain = re.sub(r"(?m)^%.*", "", text.replace(r"\\", "").replace(r"\{", "").replace(r"\}", ""))
    assert plain.count("{") == plain.count("}")
    assert re.findall(r"\\(begin|end)\{(\w+)\}", text) == [
        ("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table"),
    ]  # fmt: skip
    assert not re.search(r"\\\\\s*\[", text), "a bracket behind a line's end would be its argument"
    assert "% type strop bench % a" in text.splitlines()
    folders.bench("restless", {"b": 0.673}, p95_over_p50=1.9)
    assert r"$\sim$0.7" in formats.latex(collect(paths).rows)
    assert r"28$\times$28$\times$1" in text and "latency" not in text, "columns without a figure are left out"


def test_tables_for_a_page_have_the_columns_of_a_paper(family):
    """LaTeX and Markdown: name, parameters, bytes, accuracy with its interval, latency; no legend of what is not there.
    All columns are one word away."""
    rows, said = collect(family[1])
    markdown, latex = formats.markdown(rows, said), formats.latex(rows, said)
    assert markdown.startswith("| name | params M | size MB | test accuracy % [95 %] | latency p50 ms |\n")
    assert r"name & params & size & test accuracy & latency p50 \\" in latex
    assert "no row here is at least" not in markdown + latex and len(said) > 1
    assert {"mode", "macs", "f1", "images/s", "front"} <= {column.name for column in chosen("all", rows)}
    assert not any(set(column.cells) == {"-"} for column in chosen("all", rows))


def test_html_escapes_and_is_closed(folders):
    rows, _ = collect([folders.model("a<b>&c"), folders.model("plain")])
    page = formats.html(rows, ["<script>alert(1)</script>"])

    class Reader(HTMLParser):
        tags: list = []

        def handle_starttag(self, tag, attributes):
            self.tags.append(tag)

    Reader().feed(page)
    assert "script" not in Reader.tags and "b" not in Reader.tags
    assert Reader.tags.count("tr") == 3 and "a&lt;b&gt;&amp;c" in page


def test_chosen_columns_stand_in_every_format(family):
    """CSV and JSON hold base units to the last digit, under the names that were asked for."""
    rows, said = collect(family[1])
    columns = chosen("name,accuracy,size", rows)
    line = list(csv.DictReader(io.StringIO(formats.csv(rows, columns))))[2]
    assert list(line) == ["name", "accuracy", "size"]
    assert (float(line["accuracy"]), int(line["size"])) == (rows[2].accuracy, rows[2].bytes)
    found = json.loads(formats.json(rows, said, columns))
    assert found["rows"][2] == {"name": "small", "accuracy": rows[2].accuracy, "size": rows[2].bytes}
    assert found["fronts"]["size"] == ["small-int8", "small", "student-int8", "student"]
    assert formats.markdown(rows, [], columns).startswith("| name | test accuracy % [95 %] | size MB |\n")


def test_five_hundred_runs_without_torch(folders, tmp_path):
    """The whole command: no torch, pyarrow only for a baseline; 6 s of processor are far more than it needs."""
    for number in range(500):
        data_json(folders.model(f"run-{number:03}", epochs=0))
    script = (
        "import sys, glob\nfrom strop.cli import main\ncode = main(['compare', *sorted(glob.glob('runs/*'))])\n"
        "heavy = [name for name in ('torch', 'pyarrow', 'scipy', 'numpy') if name in sys.modules]\n"
        "print(code, heavy, file=sys.stderr)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": str(Path(strop.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stderr == "0 []\n"
    assert done.stdout.count("run-499") >= 2
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 6
