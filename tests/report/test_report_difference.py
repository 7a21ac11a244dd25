"""strop diff: what differs between two runs, and only that."""

import json

import pytest

from strop.cli import main
from strop.errors import UserError
from strop.report.difference import compare_runs, write

CONFIG = """steps:
- train:
    id: {id}
    epochs: {epochs}
    model:
      {model}:
        dropout: 0.0
    distill: {distill}
    data: {{source: set, validation: 5%}}
"""


@pytest.fixture
def two(folders):
    """student and rival: other network, distilled, another split of the same data, other torch, dirty tree."""

    def write_run(id, *, accuracy, config, rule, names, torch, dirty):
        path = folders.model(id, accuracy=accuracy, parameters=1_000_000 if id == "student" else 500_000)
        (path / "config.yaml").write_text(CONFIG.format(id=id, **config))
        about = {"source": "set", "fingerprint": "blake2b:f0", "classes": ["a", "b"]}
        about |= {"counts": {"train": {"a": 10, "b": 12}}, "validation": {"rule": rule, "names": names}}
        (path / "data.json").write_text(json.dumps(about))
        record = json.loads((path / "run.json").read_text())
        record["versions"] |= {"torch": torch}
        record["git"]["dirty"] = dirty
        (path / "run.json").write_text(json.dumps(record))
        return str(path)

    student = {"epochs": 12, "model": "cnn3", "distill": "none"}
    rival = {"epochs": 9, "model": "cnn2", "distill": "{kd: {temperature: 4.0}}"}
    return (
        write_run("student", accuracy=0.88, config=student, rule="5%", names=["a/1"], torch="2.15.0", dirty=False),
        write_run("rival", accuracy=0.86, config=rival, rule="10%", names=["a/1", "b/2"], torch="2.14.0", dirty=True),
    )


def test_each_group_has_what_differs_and_counts_the_rest(two):
    found = compare_runs(*two)
    assert found["config"] == {
        "epochs": (12, 9), "model": ("cnn3", "cnn2"), "distill": ("none", "kd"), "distill.temperature": (None, 4.0),
    }  # fmt: skip
    assert found["same"]["config"] == 3, "model.dropout, data.source and data.validation"
    assert set(found["data"]) == {"validation", "validation pictures"} and found["data"]["validation"] == ("5%", "10%")
    assert found["code"] == {
        "commit": ("000000000000", "000000000000 with changes"), "torch": ("2.15.0", "2.14.0"),
    }  # fmt: skip
    assert found["result"]["test best accuracy"] == (0.88, 0.86)
    assert found["result"]["parameters"] == (1_000_000, 500_000)
    assert "training epochs" not in found["result"], "equal values are not listed"


def test_turned_round_the_pairs_turn_round(two):
    there, back = compare_runs(*two), compare_runs(*two[::-1])
    for group in ("config", "data", "code", "result"):
        assert there[group] == {name: (a, b) for name, (b, a) in back[group].items()}


def test_the_page_fits_80_columns_and_has_signs(two, capsys):
    """2 points less, half of the parameters; nothing is cut off, and nothing needs torch."""
    assert main(["diff", *two]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80 and "…" not in said
    lines = {line.split()[0]: line.split() for line in said.splitlines() if line.strip()}
    assert lines["parameters"] == ["parameters", "1,000,000", "500,000", "-50.0", "%"]
    accuracy = next(line.split() for line in said.splitlines() if line.startswith("test best accuracy"))
    assert accuracy[3:] == ["88.00", "%", "86.00", "%", "-2.00", "points"]
    assert "config (3 more are the same)" in said


def test_json_holds_the_same(two, capsys):
    assert main(["diff", *two, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["config"]["epochs"] == [12, 9] and found["notes"] == []
    assert (found["a"]["id"], found["b"]["verb"]) == ("student", "train")


def test_runs_of_different_verbs_and_bare_folders(folders, two):
    """A bench, and a run without config.yaml and data.json: what one side lacks is None."""
    bench = folders.bench("bench", {"student": 1.0})
    found = compare_runs(two[0], str(bench))
    assert found["code"]["verb"] == ("train", "bench") and found["data"]["source"] == ("set", None)
    assert found["result"]["student latency_ms p50"] == (None, 1.0)


def test_wrong_folders_are_refused(two, tmp_path):
    with pytest.raises(UserError, match="is the same folder"):
        compare_runs(two[0], two[0])
    with pytest.raises(UserError, match="is not a run folder"):
        compare_runs(two[0], str(tmp_path))


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("test accuracy", 0.87654, "87.65 %"), ("bytes", 1_500_000, "1.50 MB"), ("parameters", 1234567, "1,234,567"),
        ("lr", 0.05, "0.05"), ("trained", ["L2", "int8"], "L2, int8"), ("x", None, "-"), ("x", False, "False"),
    ],
)  # fmt: skip
def test_values_as_people_read_them(name, value, written):
    assert write(name, value) == written


def test_figures_of_other_pictures_and_times_have_no_change(folders, capsys):
    """97 % of one set is not better than 90 % of another; two benches were not interleaved. Both are said."""
    paths = []
    for number, accuracy in enumerate((0.9, 0.97)):
        entries = [
            folders.measure(accuracy, split=split, file_hash="sha256:x", file="f") | {"pictures": f"blake2b:{kind}"}
            for split, kind in (("val", number), ("test", "t"))
        ]
        latency = {"latency_ms": {"p50": 1.0 + number}, "images_per_second": {"value": 100.0 + number}}
        paths.append(str(folders.model(f"net-{number}", measured=entries, latency=latency)))
    found = compare_runs(*paths)
    assert found["result"]["val best accuracy"] == (0.9, 0.97)
    assert "val best accuracy" in found["not_comparable"] and "test best accuracy" not in found["not_comparable"]
    assert main(["diff", *paths]) == 0
    printed = capsys.readouterr().out
    lines = {" ".join(line.split()) for line in printed.splitlines()}
    assert {"val best accuracy 90.00 % 97.00 %", "test best accuracy 90.00 % 97.00 % +7.00 points"} <= lines
    assert "latency_ms p50 1 2" in lines and "images_per_second 100 101" in lines
    assert "* The val pictures are others: these figures say nothing about A and B." in lines
    assert "* The times are of two benches. To compare them: strop bench " in " ".join(printed.split())
