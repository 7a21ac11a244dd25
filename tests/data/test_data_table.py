"""Tables of pictures: what is read, and what a user is told about each mistake."""

import os

import pyarrow as arrow
import pytest
from PIL import Image
from pyarrow import parquet

from strop.data.source import open_source
from strop.errors import UserError


@pytest.fixture
def root(tmp_path):
    """Six pictures, no two alike, in two folders."""
    for number, name in enumerate(["a/1.png", "a/2.png", "a/3.png", "b/4.png", "b/5.png", "b/6 x.png"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 3), (number, 0, 0)).save(tmp_path / name)
    return tmp_path


def write(root, text, name="labels.csv"):
    (root / name).write_text(text, encoding="utf-8")
    return str(root / name)


def problem(path) -> str:
    with pytest.raises(UserError) as caught:
        open_source(path)
    assert caught.value.where.startswith(path)
    return str(caught.value)


PLAIN = "path,label\nb/4.png,dog\na/1.png,cat\na/2.png,dog\n"


def test_a_csv_of_paths_and_labels(root):
    """Classes are sorted, pictures are in the order of their names, and the table opens again by its location."""
    source = open_source(write(root, PLAIN))
    train = source.splits["train"]
    assert source.name == "labels" and source.location == str(root / "labels.csv")
    assert source.classes == ("cat", "dog") and list(source.splits) == ["train"]
    assert train.names == ["a/1.png", "a/2.png", "b/4.png"] and train.labels.tolist() == [0, 1, 1]
    assert train.pixels(2)[0, 0].tolist() == [3, 0, 0] and train.groups is None
    assert open_source(source.location).splits["train"].names == train.names


def test_the_formats_agree(root):
    """CSV, TSV, text by blanks, text by tabs and Parquet say the same."""
    rows = [line.split(",") for line in PLAIN.splitlines()]
    write(root, "\n".join("\t".join(row) for row in rows), "t.tsv")
    write(root, "\n".join(" ".join(row) for row in rows[1:]), "t.txt")
    write(root, "\n".join("\t".join(row) for row in rows[1:]), "u.txt")
    columns = {"label": arrow.array(["dog", "cat", "dog"]).dictionary_encode(), "path": [row[0] for row in rows[1:]]}
    parquet.write_table(arrow.table(columns), root / "t.parquet")
    expected = open_source(write(root, PLAIN))
    for name in ("t.tsv", "t.txt", "u.txt", "t.parquet"):
        source = open_source(str(root / name))
        assert source.classes == expected.classes
        assert source.splits["train"].names == expected.splits["train"].names
        assert source.splits["train"].labels.tolist() == [0, 1, 1]


def test_what_spreadsheets_add_does_no_harm(root):
    """A byte-order mark, Windows line ends, blanks around values, quotes, blank lines and columns in another order."""
    text = '\ufeff Label , PATH\r\n cat ,a/1.png \r\n\r\n"dog","b/6 x.png"\r\ncat,./a//2.png\r\n'
    source = open_source(write(root, text))
    assert source.classes == ("cat", "dog") and source.splits["train"].names == ["a/1.png", "a/2.png", "b/6 x.png"]


def test_splits_and_groups(root):
    """The names that folders may have for splits do as well; a group is kept as text."""
    text = "path,label,split,group\na/1.png,x,train,p1\na/2.png,y,Train,\nb/4.png,x,valid,p2\nb/5.png,y,test,7\n"
    source = open_source(write(root, text))
    assert {name: list(split.names) for name, split in source.splits.items()} == {
        "train": ["a/1.png", "a/2.png"],
        "val": ["b/4.png"],
        "test": ["b/5.png"],
    }
    assert source.splits["train"].groups == ["p1", ""] and source.splits["test"].groups == ["7"]


def test_numbers_sort_by_value(root):
    """Class "10" comes after class "9"."""
    assert open_source(write(root, "path,label\na/1.png,10\na/2.png,9\n")).classes == ("9", "10")


def test_all_problems_of_rows_are_listed_with_their_lines(root):
    """Absolute paths, "..", empty values and unknown splits are told apart, and told at once."""
    text = (
        "path,label,split\n/etc/passwd,cat,train\na/../../x.png,cat,train\nC:\\x.png,cat,train\n,cat,train\n"
        "a/1.png, ,train\na/2.png,cat,trian\na/3.png,cat,\na/1.png,cat\n..\\x.png,cat,train\n"
    )
    text = problem(write(root, text))
    assert "labels.csv: 9 problems, nothing was run" in text
    assert "line 2: '/etc/passwd' is absolute. Write it relative to the folder of this file." in text
    assert "line 3: 'a/../../x.png' leads out of its folder by '..'." in text
    assert "line 4: 'C:\\\\x.png' is absolute." in text and "line 5: the path is empty." in text
    assert "line 6: the label is empty. Write the name of a class." in text
    assert "line 7: 'trian' is no split. Did you mean 'train'? Known: test, train, val." in text
    assert "line 8: the split is empty. Write train, val or test." in text
    assert "line 9: 2 values for 3 columns." in text and "line 10: '..\\\\x.png' leads out" in text


def test_missing_files_are_listed_and_counted(root):
    """Ten lines are shown, the rest is a number."""
    rows = "".join(f"gone/{i:02d}.png,cat\n" for i in range(15))
    text = problem(write(root, "path,label\na/1.png,dog\n" + rows))
    assert "line 3: 'gone/00.png': it is not there" in text and text.count("it is not there") == 10
    assert "... and 5 more; 15 in all" in text


def test_files_that_are_no_pictures(root):
    """What the folder reader says of them, with the line; a pipe is not waited for."""
    os.mkfifo(root / "a/pipe.png")
    text = problem(write(root, "path,label\na/1.png,x\na,y\na/pipe.png,y\na\\2.png,y\n"))
    assert "line 3: 'a': it is a folder, a pipe or a device" in text
    assert "line 4: 'a/pipe.png': it is a folder, a pipe" in text
    assert "line 5: 'a\\\\2.png': it is not there. Write / instead of \\." in text


def test_links_out_of_the_folder_are_refused(root, tmp_path_factory):
    """Neither a linked file nor a linked folder leads elsewhere; a link inside is a file like others."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    Image.new("RGB", (2, 2)).save(elsewhere / "s.png")
    (root / "a/out.png").symlink_to(elsewhere / "s.png")
    (root / "c").symlink_to(elsewhere)
    (root / "a/in.png").symlink_to("1.png")
    text = problem(write(root, "path,label\na/in.png,x\na/out.png,y\nc/s.png,y\n"))
    assert "line 3: 'a/out.png' is a link that leads out of the folder." in text
    assert "line 4: 'c/s.png' is a link that leads out" in text and "2 problems" in text


def test_rows_that_repeat_or_contradict(root):
    """However the path is spelt, a picture is listed once."""
    text = problem(write(root, "path,label\na/1.png,x\na/2.png,y\n./a/1.png,x\na//2.png,x\n"))
    assert "line 4: 'a/1.png' is listed on line 2 already. Keep one." in text
    assert "line 5: 'a/2.png' is listed on line 3 already, there as 'y' and here as 'x'" in text


def test_labels_and_groups_across_splits(root):
    """Train knows every label, and no group stands on two sides."""
    head = "path,label,split,group\n"
    text = problem(write(root, head + "a/1.png,x,train,g\na/2.png,y,train,\nb/4.png,z,test,g\nb/5.png,x,val,\n"))
    assert "line 4: the label 'z' is in test but nowhere in train." in text
    assert "line 4: the group 'g' is in train on line 2 and in test here. Keep it together." in text
    assert "no row is in train" in problem(write(root, head + "a/1.png,x,test,\na/2.png,y,val,\n"))
    assert "there is only one label, 'x'" in problem(write(root, "path,label\na/1.png,x\na/2.png,x\n"))


HEADERS = {
    "path;label\na/1.png;x\n": "line 1: the columns are divided by semicolons, but a .csv file has commas; save it",
    "path\tlabel\n": "divided by tabs, but a .csv file has commas; save it as .tsv",
    "a/1.png,cat\n": "line 1: 'a/1.png,cat' names neither path nor label. Begin the table with",
    "path,lable\n": "line 1: column 'lable' is unknown. Did you mean 'label'? Known: group, label, path, split.",
    "path,label,width\n": "line 1: column 'width' is unknown.",
    "path,path,label\n": "column 'path' is there twice",
    "path,split\n": "column 'label' is missing.",
    "": "holds no rows",
    "path,label\n": "holds no rows",
    'path,label\n"a/1.png,x\n': "line 2: is not readable",
    "path,label\na/1.png,x\n" + "y" * 1_000_001: "line 3: is longer than 1,000,000 letters",
}


@pytest.mark.parametrize("text", HEADERS, ids=range(len(HEADERS)))
def test_a_wrong_form_is_explained(root, text):
    """The first line decides how the rest is read, so what is wrong with it is said in full."""
    assert HEADERS[text] in problem(write(root, text))


def test_other_encodings_are_named(root):
    """UTF-16 as a whole; a byte that is not UTF-8 with its line, and later lines keep their numbers."""
    (root / "a.csv").write_bytes("path,label\n".encode("utf-16"))
    assert "is text in UTF-16. Save it as UTF-8." in problem(str(root / "a.csv"))
    (root / "b.csv").write_bytes(b"path,label\na/1.png,caf\xe9\n/x,y\n")
    text = problem(str(root / "b.csv"))
    assert "line 2: is not UTF-8." in text and "line 3: '/x' is absolute" in text


def test_text_without_a_label(root):
    """A list of paths alone, or one divided by commas, is not guessed at."""
    text = problem(write(root, "a/1.png\na/2.png,x\n", "t.txt"))
    assert "line 1: 'a/1.png' is no path and label." in text and "call the file .csv" in text and "2 problems" in text


def test_parquet_mistakes(root):
    """Types that are no names, nulls by row, and a file that is no Parquet."""
    parquet.write_table(arrow.table({"path": ["a/1.png"], "label": [0.5]}), root / "a.parquet")
    assert "column 'label' is of type double. Write text or whole numbers." in problem(str(root / "a.parquet"))
    parquet.write_table(arrow.table({"path": ["a/1.png", None], "label": [3, 4]}), root / "b.parquet")
    assert "row 2: the path is empty." in problem(str(root / "b.parquet"))
    (root / "c.parquet").write_bytes(b"PAR1 no PAR1")
    assert "is not readable as Parquet" in problem(str(root / "c.parquet"))


def test_a_misspelt_table(root):
    """A name that ends like a table is called a file."""
    with pytest.raises(UserError, match="there is no such file, and no data set"):
        open_source(str(root / "lables.csv"))


def test_hostile_values_do_not_reach_the_terminal_raw(root):
    """Control characters are spelt out and long values are cut."""
    text = problem(write(root, "path,label\n/\x1b[31m" + "x" * 5000 + ",y\n"))
    assert "\x1b" not in text and "\\x1b[31m" in text and len(text) < 400
