"""Run folders: what is never touched, what is written last, what survives an interruption."""

import hashlib
import json
import math
import os
import subprocess
import sys

import pytest

from strop import runs
from strop.errors import UserError
from strop.runs import Run, file_hash, locked, place, read_json, write_json, write_whole

KEY = "blake2b:mine"


def record(folder, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    values = {"id": folder.name, "verb": "train", "status": "complete", "key": KEY, "seconds": 1.5} | changes
    (folder / "run.json").write_text(json.dumps(values))
    return folder


def test_place_takes_a_name_that_is_free(tmp_path):
    """No folder, an empty one, and one with nothing but a torn first write are new."""
    out = tmp_path / "a"
    assert place(out, KEY, exact=False) == (out, "new")
    assert not out.exists(), "looking for a place makes no folder"
    out.mkdir()
    assert place(out, KEY, exact=True) == (out, "new")
    (out / ".run.json.17.draft").write_text("{")
    assert place(out, KEY, exact=True) == (out, "new")


@pytest.mark.parametrize(("status", "state"), [("complete", "complete"), ("running", "unfinished")])
def test_place_finds_equal_work(tmp_path, status, state):
    """The same key is the same work, done or to be gone on with; `exact` does not matter."""
    out = record(tmp_path / "a", status=status)
    assert place(out, KEY, exact=False) == place(out, KEY, exact=True) == (out, state)


def foreign_work(path):
    record(path, key="blake2b:other")


def foreign_folder(path):
    path.mkdir()
    (path / "thesis.tex").write_text("years")


def foreign_file(path):
    path.write_text("years")


@pytest.mark.parametrize("make", [foreign_work, foreign_folder, foreign_file])
def test_place_never_gives_a_foreign_folder(tmp_path, make):
    """Something else goes untouched: the next number is taken, or a folder named by the user is refused."""
    out = tmp_path / "a"
    make(out)
    before = sorted((p, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file())
    assert place(out, KEY, exact=False) == (tmp_path / "a-2", "new")
    with pytest.raises(UserError, match=r"--out .*a: the folder is there and holds something else"):
        place(out, KEY, exact=True)
    assert sorted((p, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file()) == before


def test_place_counts_on_to_its_own_folder(tmp_path):
    """Behind a and a-2, which are others', a-3 is found again."""
    record(tmp_path / "a", key="blake2b:other")
    record(tmp_path / "a-2", key="blake2b:another")
    mine = record(tmp_path / "a-3", status="running")
    assert place(tmp_path / "a", KEY, exact=False) == (mine, "unfinished")


def fail(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_interrupted_write_leaves_the_old_content(tmp_path, monkeypatch, call):
    """Before the rename nothing of the new content can be seen, and no draft keeps space on a full disk."""
    path = tmp_path / "result.json"
    write_whole(path, b"old")
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"] and path.read_bytes() == b"old"
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_killed_write_leaves_the_old_content(tmp_path):
    """A process that dies before the rename can't clean up; the file is whole nevertheless."""
    path = tmp_path / "run.json"
    write_whole(path, b"old")
    script = (
        "import os, sys, pathlib\nfrom strop import runs\nos.replace = lambda *_: os._exit(9)\n"
        "runs.write_whole(pathlib.Path(sys.argv[1]), b'new')"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)]).returncode == 9
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_no_result(tmp_path, value):
    """NaN and infinity are refused, and the old file stays."""
    write_json(tmp_path / "result.json", {"accuracy": 0.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "result.json", {"accuracy": value})
    assert read_json(tmp_path / "result.json") == {"accuracy": 0.5}
    with pytest.raises(ValueError, match="not JSON compliant"):
        Run(tmp_path).log(epoch=1, loss=value)
    assert Run(tmp_path).metrics() == []


def test_json_keeps_names_as_they_are_written(tmp_path):
    """Class names in any script come back, and are readable in the file."""
    write_json(tmp_path / "a.json", {"classes": ["猫", "chien", "Öl"]})
    assert read_json(tmp_path / "a.json") == {"classes": ["猫", "chien", "Öl"]}
    assert "猫" in (tmp_path / "a.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "the file is not there"),
        (b'{"a": 1', "is not readable as JSON"),
        (b"\xff\xfe", "is not readable as JSON"),
    ],
)
def test_unreadable_json_is_a_message(tmp_path, content, said):
    """A missing, torn or foreign file is the user's to restore: where, what, and what to do."""
    path = tmp_path / "result.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_json(path)
    assert caught.value.where == str(path) and said in caught.value.problems[0]


def test_file_hash_is_sha256_over_the_bytes_in_order(tmp_path):
    """What `sha256sum` prints; several files count as one, in the order given."""
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"first" * 400_000)  # over one block of reading
    b.write_bytes(b"second")
    assert file_hash(a) == "sha256:" + hashlib.sha256(a.read_bytes()).hexdigest()
    assert file_hash(a, b) == "sha256:" + hashlib.sha256(a.read_bytes() + b.read_bytes()).hexdigest()
    assert file_hash(a, b) != file_hash(b, a)


@pytest.mark.parametrize("changed", ["model.safetensors", "model.json"])
def test_model_hash_changes_with_either_file(tmp_path, changed):
    """Tensors, and how to build around them, are the model; a report beside them is not."""
    for name in ("model.safetensors", "model.json"):
        (tmp_path / name).write_bytes(b"content")
    run = Run(tmp_path)
    before = run.model_hash()
    (tmp_path / "report.html").write_text("x")
    assert run.model_hash() == before
    (tmp_path / changed).write_bytes(b"Content")
    assert run.model_hash() != before


def test_no_model_is_a_message(tmp_path):
    """A folder without a model names the files that it should have."""
    with pytest.raises(UserError, match=r"holds no model \(model.safetensors or model.onnx\)"):
        Run(tmp_path).model_hash()


def test_a_run_by_its_model_file(tmp_path):
    """The file that ships names its folder; checkpoints say what measures them; other files are no runs."""
    run = tmp_path / "net-export"
    (run / "checkpoints").mkdir(parents=True)
    (run / "run.json").write_text('{"id": "net-export", "verb": "export", "status": "complete"}')
    for name in ("model.onnx", "other.onnx", "checkpoints/last.safetensors"):
        (run / name).write_bytes(b"content")
    assert Run.open(run / "model.onnx").folder == run
    with pytest.raises(UserError, match=f"is a checkpoint. strop evaluate {run} measures the last too"):
        Run.open(run / "checkpoints" / "last.safetensors")
    with pytest.raises(UserError, match="is not a run folder"):
        Run.open(run / "other.onnx")


def test_a_second_process_is_refused(tmp_path):
    """While one holds the folder another is told to wait; afterwards it gets it."""
    script = (
        "import sys, pathlib\nfrom strop.errors import UserError\nfrom strop.runs import locked\n"
        "try:\n    with locked(pathlib.Path(sys.argv[1])):\n        print('held')\n"
        "except UserError as error:\n    print(error)"
    )

    def other() -> str:
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
        return done.stdout

    with locked(tmp_path):
        assert "another strop process works on this run. Wait for it or stop it." in other()
    assert other() == "held\n"


def test_status_is_written_after_the_result(tmp_path, monkeypatch):
    """A crash between the two leaves an unfinished run with a result, never a complete one without."""
    run = Run(record(tmp_path / "a", status="running"))
    write = runs.write_json
    order = []

    def watched(path, value):
        order.append(path.name)
        if path.name == "run.json":
            assert read_json(path.with_name("result.json")) == {"accuracy": 1.0}
            raise OSError("the plug is pulled")
        write(path, value)

    monkeypatch.setattr(runs, "write_json", watched)
    with pytest.raises(OSError, match="plug"):
        run.finish({"accuracy": 1.0}, 2.0)
    assert order == ["result.json", "run.json"] and run.record["status"] == "running"
    with pytest.raises(UserError, match="train is unfinished here. Run the same command again: it resumes."):
        Run.open(run.folder)
    monkeypatch.undo()
    run.finish({"accuracy": 1.0}, 2.0)
    assert Run.open(run.folder).record["status"] == "complete"
    assert run.record["seconds"] == 3.5, "1.5 s from before the interruption and 2 s now"


def test_only_run_folders_open(tmp_path):
    """A folder without run.json, or none at all, is no run."""
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="is not a run folder"):
            Run.open(folder)


def test_keep_metrics_drops_later_epochs(tmp_path):
    """A resumed run writes the epochs after its checkpoint again; those before stay as they were."""
    run = Run(tmp_path)
    assert run.metrics() == []
    for epoch in (1, 2, 3):
        run.log(epoch=epoch, train={"loss": 1 / epoch})
    kept = run.metrics()[:2]
    run.keep_metrics(2)
    assert run.metrics() == kept and [line["epoch"] for line in kept] == [1, 2]
    run.log(epoch=3, train={"loss": 0.1})
    assert [line["epoch"] for line in run.metrics()] == [1, 2, 3]
    run.keep_metrics(0)
    assert run.metrics() == []


def test_a_torn_line_is_not_read(tmp_path):
    """A process that died while it wrote a line does not stop the next one from going on."""
    run = Run(tmp_path)
    run.log(epoch=1, loss=0.5)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 2, "lo')
    assert run.metrics() == [{"epoch": 1, "loss": 0.5}]
    run.keep_metrics(1)
    run.log(epoch=2, loss=0.25)
    assert [line["epoch"] for line in run.metrics()] == [1, 2]


def test_create_links_parents_by_hash_and_relative_path(tmp_path):
    """A folder of runs can be moved: parents are found beside it, and known by their bytes."""
    parent = record(tmp_path / "runs" / "teacher")
    (parent / "model.safetensors").write_bytes(b"weights")
    run = runs.create(
        tmp_path / "runs" / "student",
        id="student",
        verb="train",
        key=KEY,
        parents={"teacher": Run(parent)},
        seed=7,
        command="strop train",
        device="cpu",
    )
    assert run.record["parents"] == {
        "teacher": {
            "id": "teacher",
            "path": "../teacher",
            "hash": "sha256:" + hashlib.sha256(b"weights").hexdigest(),
        }
    }
    assert run.record["status"] == "running" and run.record["seed"] == 7
    assert place(run.folder, KEY, exact=True) == (run.folder, "unfinished")


def test_digest_is_of_values_not_of_their_order():
    """Equal settings have equal keys whatever the order of their names; another value has another key."""
    assert runs.digest({"a": 1, "b": 2.5}) == runs.digest({"b": 2.5, "a": 1})
    assert runs.digest({"a": 1}) != runs.digest({"a": 2})
    assert runs.digest("a", "b") != runs.digest("ab")
