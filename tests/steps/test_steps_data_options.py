"""What the data options of a training do, and the audit as a command, in-process."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from strop.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three classes of 30 pictures of noise, 20 x 24 pixels, without a test split."""
    root = tmp_path_factory.mktemp("options") / "pets"
    random = np.random.default_rng(0)
    for name in ("cat", "dog", "eel"):
        (root / name).mkdir(parents=True)
        for number in range(30):
            pixels = random.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number:02d}.png")
    return root


def train(out, folder, *options):
    words = ["train", str(folder), "--model", "cnn3", "--epochs", "1", "--batch-size", "8", "--input-size", "32"]
    code = main([*words, *options, "--out", str(out)])
    return code, json.loads((out / "data.json").read_text()) if code == 0 else None


def test_a_test_share_is_put_aside_and_export_measures_on_it(folder, tmp_path):
    """20 % of 30 a class are 6; the export then needs no test folder, and none of its pictures was trained on."""
    code, about = train(tmp_path / "run", folder, "--test", "20%", "--validation", "10%")
    assert code == 0 and set(about["counts"]["test"].values()) == {6}
    assert main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "file")]) == 0
    (scores,) = json.loads((tmp_path / "file" / "result.json").read_text())["measured"]
    assert (scores["split"], scores["n"]) == ("test", 18)
    assert not set(about["test"]["names"]) & set(about["validation"]["names"])


def test_folds_partition_the_training_pictures(folder, tmp_path):
    """The validation pictures of folds 1/3, 2/3 and 3/3 are disjoint, and together they are all pictures."""
    names = []
    for fold in ("1/3", "2/3", "3/3"):
        _, about = train(tmp_path / fold.replace("/", "-"), folder, "--fold", fold)
        names += about["validation"]["names"]
    assert len(names) == len(set(names)) == 90


def test_a_class_list_leaves_the_others_out(folder, tmp_path):
    """A text file with two names trains a head of two; an unknown name is refused with a suggestion."""
    (tmp_path / "two.txt").write_text("eel\ncat\n")
    _, about = train(tmp_path / "run", folder, "--classes", str(tmp_path / "two.txt"))
    assert about["classes"] == ["cat", "eel"]
    (tmp_path / "wrong.txt").write_text("cat\nell\n")
    assert train(tmp_path / "none", folder, "--classes", str(tmp_path / "wrong.txt"))[0] == 2
    assert not (tmp_path / "none").exists()


def test_random_crops_are_trained_on_and_the_source_is_written_down(folder, tmp_path):
    """Crops change what is learnt; where pictures come from is resolved once, for resuming."""
    train(tmp_path / "plain", folder)
    train(tmp_path / "crops", folder, "--crop-scale", "0.3")
    bytes_of = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("plain", "crops")]
    assert bytes_of[0] != bytes_of[1]
    assert json.loads((tmp_path / "crops" / "run.json").read_text())["resolved"]["pictures"] == "memory"


def test_a_table_of_labels_is_a_way_in(folder, tmp_path):
    """A CSV beside the pictures trains like the folder of the same pictures."""
    lines = [f"{path.relative_to(folder)},{path.parent.name}" for path in sorted(folder.rglob("*.png"))]
    table = folder / "labels.csv"
    table.write_text("path,label\n" + "\n".join(lines) + "\n")
    try:
        code, about = train(tmp_path / "run", table)
    finally:
        table.unlink()
    assert code == 0 and about["classes"] == ["cat", "dog", "eel"]
    assert sum(about["counts"]["train"].values()) + sum(about["counts"]["val"].values()) == 90


def test_audit_exits_4_on_errors_and_0_without(folder, tmp_path, monkeypatch, capsys):
    """A text file called .jpg is an error that training would stop at; the report and the list are written."""
    monkeypatch.chdir(tmp_path)
    assert main(["audit", str(folder), "--quick", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"] is not None
    bad = folder / "cat" / "bad.jpg"
    bad.write_text("hello")
    try:
        assert main(["audit", str(folder), "--fix", "leave-out.txt", "--preview", "seen.png"]) == 4
    finally:
        bad.unlink()
    assert "cat/bad.jpg" in (tmp_path / "leave-out.txt").read_text()
    assert (tmp_path / "runs" / "pets-audit" / "audit.html").is_file()
    assert main(["audit", str(folder), "--fix", "leave-out.txt"]) == 2, "nothing is overwritten"


def test_the_colour_below_transparent_parts_goes_with_the_model(tmp_path, monkeypatch):
    """Trained on black, so predicted and evaluated on black; a later training on white is another preprocessing."""
    from strop.data import picture

    root, random = tmp_path / "stickers", np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(12):
            pixels = random.integers(0, 256, (16, 16, 4), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    code, about = train(tmp_path / "run", root, "--alpha", "#000000", "--validation", "20%")
    assert code == 0 and about["alpha"] == "#000000"
    assert json.loads((tmp_path / "run" / "model.json").read_text())["preprocess"]["alpha"] == "#000000"
    colours, parse = set(), picture.parse_colour
    monkeypatch.setattr(picture, "parse_colour", lambda text: colours.add(text) or parse(text))
    assert main(["predict", str(tmp_path / "run"), str(root / "cat")]) == 0 and colours == {"#000000"}
    out = ["--out", str(tmp_path / "measured")]
    assert main(["evaluate", str(tmp_path / "run"), str(root), "--split", "train", *out]) == 0
    assert colours == {"#000000"}
    tuned = ["train", str(root), "--parent", str(tmp_path / "run"), "--epochs", "1", "--out", str(tmp_path / "tuned")]
    assert main(tuned) == 0
    assert json.loads((tmp_path / "tuned" / "model.json").read_text())["preprocess"]["alpha"] == "white"


def test_a_colour_that_is_none_is_refused(folder, tmp_path, capsys):
    assert train(tmp_path / "run", folder, "--alpha", "pinkish")[0] == 2
    assert "'pinkish' is no colour. Write white, black or one as '#ff8000'." in capsys.readouterr().err


def test_unreadable_pictures_change_nothing_but_data_json(folder, tmp_path, capsys):
    """The weights are those of a training without the broken file, bit by bit; prune keeps the list."""
    shutil.copytree(folder, tmp_path / "set")
    train(tmp_path / "whole", tmp_path / "set")
    (tmp_path / "set" / "cat" / "05b.png").write_bytes((folder / "cat" / "05.png").read_bytes()[:700])
    code, _ = train(tmp_path / "stopped", tmp_path / "set")
    assert code == 2 and "1 of 91 training pictures can't be read" in capsys.readouterr().err
    _, about = train(tmp_path / "left-out", tmp_path / "set", "--max-unreadable", "2%")
    assert list(about["unreadable"]) == ["cat/05b.png"]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "left-out")]
    assert weights[0] == weights[1]
    words = ["prune", str(tmp_path / "left-out"), "--params", "50%", "--epochs", "1", "--out", str(tmp_path / "small")]
    assert main(words) == 0
    assert json.loads((tmp_path / "small" / "data.json").read_text())["unreadable"] == about["unreadable"]


def test_an_exclusion_list_is_an_option_and_its_place_is_not_the_work(folder, tmp_path, monkeypatch, capsys):
    """The same list elsewhere gives the same run; another list is another one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("cat/03.png\tblurred\n")
    (tmp_path / "b.txt").write_text("cat/03.png\tblurred\n")
    words = ["train", str(folder), "--model", "cnn3", "--epochs", "1", "--batch-size", "8", "--input-size", "32"]
    assert main([*words, "--exclude", "a.txt"]) == 0 and main([*words, "--exclude", "b.txt"]) == 0
    assert "a.txt: 1 (train 1)" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["cnn3"]
    assert json.loads((tmp_path / "runs/cnn3/data.json").read_text())["excluded"] == {"cat/03.png": "blurred"}
    assert main(words) == 0 and (tmp_path / "runs/cnn3-2").is_dir()
