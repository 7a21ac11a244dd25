"""The walk through a folder: what `open_source` would refuse is told, all of it, and the rest is looked at."""

import os
import shutil
import unicodedata

import pytest

from strop.audit import audit
from strop.audit.walk import walk_folder
from strop.data.source import open_source
from strop.errors import UserError


def told(findings, kind: str) -> list[str]:
    return [file for finding in findings.of(kind) for file in finding.files]


@pytest.mark.parametrize("splits", [[""], ["train"], ["train", "test"], ["train", "Valid", "test"]])
def test_a_good_folder_is_read_as_a_training_reads_it(paint, splits):
    """Names, labels, classes and splits equal those of `open_source`, nested and NFD names included."""
    for k, split in enumerate(splits):
        paint.classes(split, each=3, first=10 * k)
        paint(f"{split}/cat/deep/er/x.png".lstrip("/"), 900 + k)
        paint(unicodedata.normalize("NFD", f"{split}/dog/\u00e4.png".lstrip("/")), 950 + k)
    (paint.root / ".hidden").mkdir()
    (paint.root / "Thumbs.db").write_bytes(b"x")
    collection, found = walk_folder(paint.root)
    source = open_source(str(paint.root))
    assert collection.classes == source.classes and collection.splits == tuple(source.splits)
    assert collection.names == [name for split in source.splits.values() for name in split.names]
    assert collection.label.tolist() == [int(x) for split in source.splits.values() for x in split.labels]
    assert {finding.kind for finding in found} == {"passed-over"}


def test_all_that_is_wrong_with_the_folders_is_told_at_once(paint):
    """Strays, an empty class, an unknown one, a misspelt split, a second val and two kinds of links in one go."""
    paint.classes("train")
    paint.classes("val", first=100)
    paint("train/stray.png", 40)
    (paint.root / "train/bird").mkdir()
    (paint.root / "train/bird/notes.txt").write_text("x")
    paint("val/hamster/1.png", 41)
    paint("tset/cat/1.png", 42)
    paint("validation/cat/1.png", 43)
    outside = paint.root.parent / "outside.png"
    shutil.copy(paint.root / "train/cat/00.png", outside)
    os.symlink(outside, paint.root / "train/cat/out.png")
    os.symlink(paint.root / "nowhere.png", paint.root / "train/cat/nothing.png")
    os.symlink(paint.root / "train/cat", paint.root / "train/dog/again")
    findings = audit(paint.root)
    assert told(findings, "stray") == ["train/stray.png"]
    assert findings.of("empty-class")[0].items[0].note.startswith("only .txt")
    assert told(findings, "unknown-class") == ["val/hamster"]
    assert set(told(findings, "layout")) == {"tset", "validation"} or set(told(findings, "layout")) == {"tset", "val"}
    assert set(told(findings, "link")) == {"train/cat/out.png", "train/cat/nothing.png", "train/dog/again"}
    assert findings.has_errors and findings.counts["train"]["cat"] == 12


def test_what_is_outside_of_the_folder_is_never_read(paint):
    """A link that leads out is named; its picture is no part of the audit."""
    paint.classes()
    secret = paint.root.parent / "secret"
    secret.mkdir()
    shutil.copy(paint.root / "cat/00.png", secret / "1.png")
    os.symlink(secret, paint.root / "cat/way-out")
    findings = audit(paint.root)
    assert findings.pictures == 24 and told(findings, "link") == ["cat/way-out"] and not findings.of("duplicate")


def test_pictures_without_classes_are_still_looked_at(paint):
    """A flat folder is an error, and its copies are found all the same."""
    for i in range(4):
        paint(f"{i}.png", i)
    shutil.copy(paint.root / "0.png", paint.root / "copy.png")
    findings = audit(paint.root)
    assert findings.of("layout") and findings.of("stray")[0].count == 5
    assert told(findings, "duplicate") == ["0.png", "copy.png"]


def test_a_folder_without_pictures_and_an_unknown_name_are_the_users_to_correct(tmp_path):
    """Nothing to audit is no finding but a wrong input."""
    with pytest.raises(UserError, match="no picture"):
        audit(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        audit("fashion-minni")
    with pytest.raises(UserError, match="--quick"):
        audit(tmp_path, quick=True, labels=True)


def test_names_that_are_no_utf8_are_told(paint):
    """Such a name can't stand in JSON; it is told with its bytes, and the picture is looked at."""
    paint.classes()
    shutil.copy(paint.root / "cat/00.png", os.fsencode(paint.root / "cat") + b"/\xff.png")
    findings = audit(paint.root)
    assert told(findings, "name") == ["cat/\\xff.png"]
    assert told(findings, "duplicate") == ["cat/00.png", "cat/\\xff.png"]


def test_hidden_names_and_other_files_are_told_once(paint):
    """What is passed over is said, with how many; it is no error."""
    paint.classes()
    (paint.root / "cat/._00.png").write_bytes(b"junk")
    (paint.root / "dog/photo.heic").write_bytes(b"junk")
    [finding] = audit(paint.root).of("passed-over")
    assert finding.severity == "note"
    assert [item.note for item in finding.items] == [
        "._00.png (1): hidden or left behind by a system",
        ".heic (1): no pictures by name",
    ]


def test_a_deep_folder_does_not_end_the_walk(paint):
    """600 folders inside each other: deeper than recursion would like, found all the same."""
    paint.classes()
    here = os.getcwd()
    try:
        os.chdir(paint.root / "cat")
        for _ in range(600):
            os.mkdir("d")
            os.chdir("d")
        shutil.copy(paint.root / "cat/00.png", "deep.png")
    finally:
        os.chdir(here)
    assert audit(paint.root, quick=True).of("duplicate")[0].count == 1


def test_a_named_set_is_audited_like_a_folder():
    """The bundled pictures: 6,000 in arrays, no file in sight, and nothing wrong in quick mode."""
    findings = audit("fashion-mini", quick=True)
    assert findings.pictures == 6000 and [f.kind for f in findings.found] == ["grey"] and not findings.has_errors
