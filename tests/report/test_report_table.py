import csv
import io
import json

import pytest
from rich.cells import cell_len
from rich.console import Console

from strop.report import formats
from strop.report import table as tables
from strop.report.columns import groups
from strop.report.numbers import decimals_for, pareto, percent, shorten, significant, size, times
from strop.report.rows import collect


def draw(rows, notes=(), width=80) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(tables.table(rows, notes))
    return console.export_text()


@pytest.mark.parametrize("width", [80, 100, 139, 140, 200])
def test_every_cell_is_shown_whole(family, width):
    """Nothing is cut off and no line is wider than the terminal, whatever its width."""
    _, paths = family
    rows, notes = collect(paths)
    text = draw(rows, notes, width)
    assert "…" not in text
    assert max(cell_len(line) for line in text.splitlines()) <= width
    columns = [column for group in groups(rows) for column in group]
    assert all(cell in text for column in columns for cell in column.cells)


def test_narrow_terminals_get_two_tables(family):
    """Below 140 columns each name stands twice, from there on once."""
    _, paths = family
    rows, _ = collect(paths)
    assert [draw(rows, width=width).count("student-int8") for width in (80, 139, 140)] == [2, 2, 1]


def test_long_names_fold_at_their_joints(folders):
    """A name of 56 letters breaks after a hyphen, and no figure is lost."""
    name = "resnet18-fashion-distilled-from-resnet50-pruned-nine-pct"
    rows, _ = collect([folders.model(name, trained=["L2", "distilled", "pruned", "int8"])])
    text = draw(rows)
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    assert "resnet18-" in text and "nine-" in text and "11.2" in text
    assert all(part in text for part in ("L2", "+ distilled", "+ pruned", "+ int8"))


def test_chinese_names_take_two_cells_a_letter(folders):
    """Widths are counted in terminal cells, not in letters."""
    rows, _ = collect([folders.model("蒸馏" * 12)])
    assert max(cell_len(line) for line in draw(rows).splitlines()) <= 80


def test_names_are_text_not_markup(folders):
    """A folder called [red] is shown as it is called."""
    rows, _ = collect([folders.model("[red]net")])
    assert "[red]net" in draw(rows, ["[bold]note"]) and "[bold]note" in draw(rows, ["[bold]note"])


def test_accuracy_and_macro_precision_are_two_columns(folders):
    """[[9, 1], [5, 5]]: accuracy is 14/20; precision is the mean of 9/14 and 5/6."""
    entry = folders.summarize([[9, 1], [5, 5]], ["a", "b"])
    entry |= {"split": "val", "hash": "sha256:x", "file": "f", "data": "blake2b:d"}
    rows, _ = collect([folders.model("net", measured=[entry])])
    cells = {column.heading: column.cells[0] for column in groups(rows)[2]}
    assert cells["val accuracy % [95 %]"].startswith("70.0 [")
    assert cells["macro prec. %"] == f"{100 * (9 / 14 + 5 / 6) / 2:.1f}"
    assert cells["macro recall %"] == "70.0"


def test_missing_figures_are_dashes(folders):
    """No bench, no measurement: dashes, and not zero."""
    rows, _ = collect([folders.model("net", measured=[])])
    assert {column.cells[0] for column in groups(rows)[2]} == {"-"}


def test_csv_and_json_carry_base_units_unchanged(family):
    """Files keep accuracy in [0, 1] and bytes, to the last digit."""
    folders, paths = family
    rows, notes = collect(paths)
    expected = folders.result("small-onnx")["measured"][0]["accuracy"]
    line = list(csv.DictReader(io.StringIO(formats.csv(rows))))[2]
    assert (float(line["accuracy"]), line["bytes"], line["input_size"]) == (expected, str(rows[2].bytes), "1x28x28")
    read = json.loads(formats.json(rows, notes))
    assert read["rows"][2]["accuracy"] == expected
    assert read["rows"][2]["parents"] == {"parent": "student", "teacher": "teacher"}
    assert read["notes"] == notes


def test_markdown_keeps_its_columns_whatever_the_names(folders):
    """A bar in a name is escaped, so every line has the same cells."""
    rows, _ = collect([folders.model("a|b_c"), folders.model("plain")])
    lines = formats.markdown(rows).strip().splitlines()
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert "a\\|b\\_c" in lines[2]


def test_small_numbers_keep_three_digits():
    """4.1 million MACs are 0.00410 G and not 0.0; large ones are whole."""
    assert [significant(value) for value in (0.0041, 0.986042, 11.17281, 457.4, 9103.4, 0, None)] == [
        "0.00410",
        "0.986",
        "11.2",
        "457",
        "9,103",
        "0",
        "-",
    ]
    assert size([1, 28, 28]) == "28x28x1" and size([3, 224, 160]) == "224x160x3"
    assert [times(ratio) for ratio in (0.98, 1.0, 1.1, 6.24, 45.1)] == ["0.98", "1.00", "1.1", "6.2", "45"]


def test_digits_follow_the_number_of_pictures():
    """500 pictures can't carry hundredths of a point; 10,000 can."""
    assert percent(0.95891, decimals_for(500)) == "95.9"
    assert percent(0.95891, decimals_for(10_000)) == "95.89"


def test_front_holds_exactly_what_nothing_beats():
    """Checked against the definition, point by point, on a grid with ties."""
    points = [((7 * i) % 11, (5 * i * i) % 13) for i in range(40)]

    def is_beaten(point):
        return any(c <= point[0] and g >= point[1] and (c, g) != point for c, g in points)

    assert sorted(pareto(points)) == [i for i, point in enumerate(points) if not is_beaten(point)]


def test_hundreds_of_notes_are_counted_in_a_terminal(folders):
    """The first ones, how many more, and the last, which explains the fronts; Markdown has each."""
    rows, _ = collect([folders.model("a"), folders.model("b")])
    notes = [f"note {number}" for number in range(100)]
    said = [line.strip() for line in draw(rows, notes).splitlines() if line.startswith("*")]
    first = [f"* note {number}" for number in range(15)]
    assert said == [*first, "* 84 more notes like these: --format json and markdown have all.", "* note 99"]
    assert all(f"\n* note {number}" in formats.markdown(rows, notes) for number in range(100))


def test_names_are_cut_by_their_width():
    """A Chinese letter is as wide as two; three dots are one; what fits is left alone."""
    assert (shorten("trouser", 7), shorten("trouser", 6), shorten("类别名", 6)) == ("trouser", "trous…", "类别名")
    assert shorten("类别名称", 6) == "类别…" and shorten("a类b", 3) == "a…" and shorten("", 3) == ""
