"""All files of an export folder held against its evidence, one of them tampered with at a time."""

import json
import shutil
import subprocess
import sys

import pytest

from strop.deploy.files import IMPORTED, list_files
from strop.runs import Run


def edit(path, change):
    """Put the JSON of a file through `change`."""
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value), encoding="utf-8")


def put(path, text, instead):
    """Replace a text that is there."""
    before = path.read_text(encoding="utf-8")
    assert text in before
    path.write_text(before.replace(text, instead), encoding="utf-8")


@pytest.fixture
def hold(verify):
    """Verify a folder: (exit code, verdict, {check: what it said}, names of the checks that do not hold)."""

    def run(folder):
        code, verdict, checks = verify(folder)
        said = {name: words for name, (_, words) in checks.items()}
        return code, verdict, said, [name for name, (holds, _) in checks.items() if not holds]

    return run


def test_every_file_is_listed(copied):
    """With size and sha256, what was drawn last too; only evidence.json can't hold its own hash."""
    listed = json.loads((copied / "evidence.json").read_text(encoding="utf-8"))["files"]
    assert listed.keys() | {"evidence.json"} == {path.name for path in copied.iterdir() if path.name[0] != "."}
    assert {"README.md", "predict.py", "predict.mjs", "package.json", "run.json", "report.html"} <= listed.keys()
    assert listed["README.md"]["bytes"] == (copied / "README.md").stat().st_size


@pytest.mark.parametrize(
    ("file", "text", "instead"),
    [
        ("README.md", "## Limits", "## Without limits"),
        ("predict.py", "import json", "import os; os.system('true')\nimport json"),
        ("predict.mjs", "const classes", "process.exit();\nconst classes"),
        ("package.json", '"jimp"', '"jimpp": "1.0.0", "jimp"'),
        ("model.json", '"format": 1', '"format": 1, "other": 2'),
        ("config.yaml", "export", "train"),
        ("report.html", "</body>", "<script>alert(1)</script></body>"),
    ],
)
def test_a_changed_file_is_named(hold, copied, file, text, instead):
    """A line in any of them, a malicious one in a program too."""
    put(copied / file, text, instead)
    code, verdict, said, wrong = hold(copied)
    assert (code, verdict, wrong) == (3, "differs", ["files"])
    assert said["files"] == f"{file} is not the file that export wrote"


def test_missing_files_are_named(hold, copied):
    """They may be left out when it is handed on, but for three."""
    for name in ("README.md", "predict.py"):
        (copied / name).unlink()
    code, verdict, said, _ = hold(copied)
    assert (code, verdict) == (0, "verified") and "not there: README.md, predict.py" in said["files"]
    (copied / "classes.json").unlink()
    code, _, said, wrong = hold(copied)
    assert code == 3 and wrong == ["classes", "files"] and said["files"] == "classes.json is not there"


def test_files_of_ones_own_are_named(hold, copied, tmp_path):
    """Notes, pictures, a link, and what npm installed make it no other export."""
    (copied / "notes\x1b[2J.txt").write_text("mine")
    (copied / "photos").mkdir()
    (copied / "more").symlink_to(tmp_path)
    (copied / "node_modules").mkdir()
    code, verdict, said, _ = hold(copied)
    assert (code, verdict) == (0, "verified")
    assert r"not from export, not looked at: more, 'notes\x1b[2J.txt', photos" in said["files"]
    assert "what npm installed, not checked: node_modules" in said["files"]


@pytest.mark.parametrize("name", ["numpy.py", "json/__init__.py", "PIL.so", ".npmrc", "model.safetensors"])
def test_files_that_programs_would_load(hold, copied, name):
    """A file that stands in the way of what predict.py imports, npm reads or strop opens is no note of one's own."""
    (copied / name).parent.mkdir(exist_ok=True)
    (copied / name).write_text("print('me first')")
    code, verdict, said, wrong = hold(copied)
    assert (code, verdict, wrong) == (3, "differs", ["files"])
    assert said["files"].startswith(f"{name.partition('/')[0]} is not from export, and ")


def test_a_program_must_be_listed(hold, copied):
    """Taking a program off the list does not make it a note of one's own."""
    put(copied / "predict.py", "import json", "import os\nimport json")
    edit(copied / "evidence.json", lambda evidence: evidence["files"].pop("predict.py"))
    code, _, said, _ = hold(copied)
    assert code == 3 and "predict.py is not from export" in said["files"]


def test_a_program_listed_again_is_named(hold, copied):
    """A forger's line with its true hash can't be told from another strop's program: it is said, and no failure."""
    assert "read before you run it" not in hold(copied)[2]["files"]
    put(copied / "predict.py", "import json", "import os\nimport json")
    list_files(Run(copied))
    code, verdict, said, _ = hold(copied)
    assert (code, verdict) == (0, "verified")
    assert "not what this strop writes, read before you run it: predict.py" in said["files"]


def test_what_the_program_imports_is_known(copied, shapes):
    """Everything that predict.py asks for, found or not, is Python's own or stands in the list."""
    watch = (
        "import sys, runpy\nasked = set()\n"
        "class Watch:\n def find_spec(self, name, *more):\n  asked.add(name.partition('.')[0])\n"
        "sys.meta_path.insert(0, Watch())\nsys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\nprint(*asked - sys.stdlib_module_names)"
    )
    picture = shapes / "test" / "rows" / "000.png"
    words = [sys.executable, "-c", watch, copied / "predict.py", picture]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    asked = set(done.stdout.splitlines()[-1].split())
    assert {"numpy", "onnxruntime", "PIL"} <= asked <= IMPORTED


def test_the_card_has_the_figures_of_the_evidence(hold, copied):
    """A card with another accuracy, put on the list again, is held against the evidence."""
    accuracy = json.loads((copied / "evidence.json").read_text())["accuracy"]["accuracy"]
    put(copied / "README.md", f"| accuracy | {100 * accuracy:.2f} %", "| accuracy | 99.90 %")
    list_files(Run(copied))  # as a careful forger does
    code, _, said, wrong = hold(copied)
    assert (code, wrong) == (3, ["figures"])
    assert said["figures"].startswith("accuracy is '99.90 % on 60 test pictures")
    assert f"'{100 * accuracy:.2f} % on" in said["figures"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: e["accuracy"].update(accuracy_interval=[0.98, 0.99]), "the interval of accuracy is 98.00 to 99.00"),
        (lambda e: e["accuracy"].update(n=600), "the interval of accuracy is"),
        (lambda e: e["accuracy"].update(accuracy=0.777), "accuracy 0.777 is no share of 60 pictures"),
        (lambda e: e["accuracy"].update(macro_f1=0.99), "macro F1 is"),
        (lambda e: e["accuracy"].update(ece=0.99), "calibration is"),
        (lambda e: e["accuracy"].update(looks=0), "looks is"),
        (lambda e: e["latency"]["latency_ms"].update(p50=1000.0), "latency is"),
        (lambda e: e["resizing"].update(same_class=1), "resizing is"),
    ],
)
def test_changed_figures_in_the_evidence(hold, copied, change, words):
    """Each is told without pictures, because it stands elsewhere too or follows from another."""
    edit(copied / "evidence.json", change)
    (copied / "data.json").unlink()
    code, _, said, wrong = hold(copied)
    assert (code, wrong) == (3, ["figures"]) and words in said["figures"]


def test_figures_forged_everywhere(hold, copied):
    """Who rewrites all places in agreement is found out by the pictures only; losses are measured again too."""
    evidence = json.loads((copied / "evidence.json").read_text())
    loss = evidence["accuracy"]["loss"]
    edit(copied / "evidence.json", lambda e: e["accuracy"].update(loss=loss / 2))
    edit(copied / "result.json", lambda r: r["measured"][0].update(loss=loss / 2))
    put(copied / "README.md", f"NLL {loss:.3f}", f"NLL {loss / 2:.3f}")
    list_files(Run(copied))  # as a careful forger does
    code, _, said, wrong = hold(copied)
    assert (code, wrong) == (3, ["accuracy"])
    assert said["accuracy"].startswith(f"loss is {loss:.4f}, the evidence says {loss / 2:.4f}")
    (copied / "data.json").unlink()
    assert hold(copied)[:2] == (0, "hashes only")


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("evidence.json", lambda e: e.update(data="blake2b:0123")),
        ("evidence.json", lambda e: e.update(source="other")),
        ("evidence.json", lambda e: e["versions"].update(torch="1.0")),
        ("evidence.json", lambda e: e["parents"]["parent"].update(hash="sha256:00")),
        ("evidence.json", lambda e: e["lineage"][0].update(hash="sha256:00")),
    ],
)
def test_changed_origin(hold, copied, file, change):
    """Data, versions and hashes of parents stand in data.json and run.json too."""
    edit(copied / file, change)
    code, _, _, wrong = hold(copied)
    assert (code, wrong) == (3, ["origin"])


def test_parents_are_held_where_they_are_at_hand(hold, trained, copied):
    """Beside the run it is compared with it; elsewhere it says that it was not; another run of that name is none."""
    assert "not at hand: small" in hold(copied)[2]["origin"]
    assert "runs at hand, as they were: small" in hold(trained / "runs" / "small-export")[2]["origin"]
    parent = shutil.copytree(trained / "runs" / "small", copied.parent / "small")
    (parent / "model.safetensors").write_bytes(b"other tensors")
    code, _, said, wrong = hold(copied)
    assert (code, wrong) == (3, ["origin"]) and "the run small beside this folder has another hash" in said["origin"]
    edit(parent / "run.json", lambda record: record.update(started="2020-01-01T00:00:00+00:00"))
    assert "not at hand: small" in hold(copied)[2]["origin"]


def test_evidence_of_an_earlier_strop(strop_in, copied, tmp_path):
    """Without a list it binds one file only: it says what to do."""
    edit(copied / "evidence.json", lambda evidence: evidence.pop("files"))
    outcome = strop_in(tmp_path, "verify", copied)
    assert outcome.code == 2 and "lists no files; an earlier strop wrote it. Export the run again." in outcome.err


@pytest.mark.parametrize(
    "files",
    [{"../x": {}}, {"/etc/passwd": {"bytes": 1, "sha256": "0" * 64}}, {"a": {"bytes": -1, "sha256": "0" * 64}}, []],
)
def test_the_list_names_no_other_folder(strop_in, copied, tmp_path, files):
    """Names are names of files in the folder; nothing else is read."""
    edit(copied / "evidence.json", lambda evidence: evidence.update(files=files))
    outcome = strop_in(tmp_path, "verify", copied)
    assert outcome.code == 2 and "files" in outcome.err
