"""The quick audit of an opened set: what it finds without opening a file, and what a training does with it."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from strop.audit import audit
from strop.audit.opening import audit_opened
from strop.cli import main
from strop.data import open_data
from strop.data.source import FileSplit

TRAIN = ("--model", "cnn3", "--epochs", "1", "--batch-size", "8", "--input-size", "32")


@pytest.fixture
def faulty(tmp_path):
    """Train and test of three classes; a leak, a picture under two labels, a duplicate, no dog in test, one tiny."""
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 4)):
        for name in ("cat", "dog", "eel"):
            folder = tmp_path / "set" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(random.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(folder / f"{number:02d}.png")
    train, test = tmp_path / "set" / "train", tmp_path / "set" / "test"
    shutil.rmtree(test / "dog")
    shutil.copy(train / "cat/00.png", test / "cat/leak.png")
    shutil.copy(train / "cat/01.png", train / "dog/other.png")
    shutil.copy(train / "eel/02.png", train / "eel/twice.png")
    Image.fromarray(random.integers(0, 256, (3, 3, 3), dtype=np.uint8)).save(train / "eel/tiny.png")
    return tmp_path / "set"


def test_it_finds_what_the_quick_audit_of_the_folder_finds(faulty, monkeypatch):
    """Leak, two labels, duplicate, missing class and tiny picture, from memory alone: no file is opened."""
    expected = {finding.kind: finding.count for finding in audit(str(faulty), quick=True).found}
    data = open_data(str(faulty))
    monkeypatch.setattr(FileSplit, "open", lambda split, i: pytest.fail(f"{split.names[i]} was opened"))
    found = {finding.kind: finding.count for finding in audit_opened(data).found}
    assert found == expected
    assert {kind: found[kind] for kind in ("leak", "two-labels", "duplicate", "missing-class", "tiny")} == {
        "leak": 1, "two-labels": 1, "duplicate": 1, "missing-class": 1, "tiny": 1,
    }  # fmt: skip


def test_the_official_test_split_is_hashed_and_nothing_else(faulty, tmp_path, monkeypatch):
    """Neither opening nor the audit nor the training decodes a test picture, or reads more than its first bytes."""
    for method in ("pixels", "shape"):
        real = getattr(FileSplit, method)

        def watch(split, i, *rest, real=real):
            assert not split.names[i].startswith("test/"), f"{split.names[i]} was read"
            return real(split, i, *rest)

        monkeypatch.setattr(FileSplit, method, watch)
    (faulty / "test" / "eel" / "00.png").write_bytes((faulty / "test" / "eel" / "00.png").read_bytes()[:300])
    assert main(["train", str(faulty), *TRAIN, "--out", str(tmp_path / "run")]) == 0


def test_a_training_tells_and_goes_on(faulty, tmp_path, capsys):
    """By default errors are told in a few lines of at most 80 columns, with where to look closer; data.json has all."""
    assert main(["train", str(faulty), *TRAIN, "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out.splitlines()
    start = said.index("set: quick audit: 2 errors, 3 warnings")
    assert said[start + 1 : start + 3] == [
        "  error: 1 picture of test is in train too.",
        "  error: 1 picture stands under more than one label.",
    ]
    assert said[start + 4] == f"  and 2 more; look closer: strop audit {faulty}"
    about = json.loads((tmp_path / "run" / "data.json").read_text())["audit"]
    assert about["errors"] is True and about["findings"][0]["kind"] == "leak" and about["findings"][0]["count"] == 1
    assert len(about["findings"]) >= 5


def test_strict_stops_with_4_before_anything_runs(faulty, tmp_path, capsys):
    """Errors stop; a set with warnings only goes on."""
    words = ["train", str(faulty), *TRAIN, "--audit", "strict", "--out", str(tmp_path / "run")]
    assert main(words) == 4 and not (tmp_path / "run").exists()
    said = capsys.readouterr().err
    assert "the audit found errors, nothing was run" in said and "1 picture of test is in train too." in said
    (faulty / "test/cat/leak.png").unlink()
    (faulty / "train/dog/other.png").unlink()
    assert main(words) == 0


def test_off_says_and_writes_nothing(faulty, tmp_path, capsys):
    """And an unknown word is refused."""
    assert main(["train", str(faulty), *TRAIN, "--audit", "off", "--out", str(tmp_path / "run")]) == 0
    assert "audit" not in capsys.readouterr().out
    assert "audit" not in json.loads((tmp_path / "run" / "data.json").read_text())
    assert main(["train", str(faulty), *TRAIN, "--audit", "loud"]) == 2
    assert "--audit: 'loud' is not an option." in capsys.readouterr().err
