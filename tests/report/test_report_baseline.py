"""compare --baseline: verdicts from predictions.parquet, and what can't be judged."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import strop
from strop.errors import UserError
from strop.report import formats
from strop.report.apart import apart
from strop.report.baseline import compare_with, find
from strop.report.rows import collect

N = 400
NAMES = [f"p{number:03}.png" for number in range(N)]


@pytest.fixture
def judged(folders):
    """A function that writes a model and its evaluation with predictions: right on all pictures but `wrong`."""

    def write(id: str, wrong, names=NAMES, **entry):
        path = folders.model(id, measured=[])
        right = ~np.isin(np.arange(N), list(wrong))
        scores = folders.measure(0.9, file_hash=f"sha256:{id}", file="model.safetensors")
        scores |= {"n": N, "accuracy": float(right.mean()), "pictures": "blake2b:p0"} | entry
        look = folders.write(f"{id}-on-test", "evaluate", {"measured": [scores]}, parents={"parent": id})
        columns = {"name": names, "true": ["a"] * N, "predicted": np.where(right, "a", "b").tolist()}
        pq.write_table(pa.table(columns), look / "predictions.parquet")
        return path

    return write


def test_verdicts_in_words_and_figures(judged):
    """40 wrong against 10 of other pictures: gained 40, lost 10, 7.5 points; the twin is not told apart."""
    paths = [judged("base", range(40)), judged("good", range(100, 110)), judged("twin", range(40))]
    rows, _ = collect(paths)
    rows, [said] = compare_with(rows, find(rows, "base"))
    good = rows[1].against
    assert (good.gained, good.lost, good.verdict) == (40, 10, "better")
    assert good.difference == pytest.approx(0.075) and good.low < 0.075 < good.high
    assert rows[0].against is None and rows[2].against.verdict == "not told apart"
    assert said.startswith("Against base on 400 test pictures: good is better (+7.5 points [")
    assert "twin is not told apart" in said and "Holm over the rows at 5 %" in said
    assert "| better |" in formats.markdown(rows) and "not told apart" in formats.latex(rows)
    assert json.loads(formats.json(rows))["rows"][1]["against"]["gained"] == 40
    assert "against_verdict" in formats.csv(rows).splitlines()[0]


def test_pictures_are_matched_by_name_not_by_place(judged):
    """The same predictions in another order give the same verdict."""
    turned = [NAMES[-1 - number] for number in range(N)]
    paths = [judged("base", range(40)), judged("other", [N - 1 - i for i in range(100, 110)], names=turned)]
    rows, _ = collect(paths)
    rows, _ = compare_with(rows, rows[0])
    assert (rows[1].against.gained, rows[1].against.lost) == (40, 10)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda file: file.unlink(), "has no predictions on these pictures; write: strop evaluate"),
        (lambda file: file.write_bytes(b"PAR1 no"), "can't be read"),
        (lambda file: pq.write_table(pq.read_table(file).slice(1), file), "predictions of 399 pictures"),
        (lambda file: pq.write_table(pq.read_table(file).select(["name"]), file), "without name, true and predicted"),
        (
            lambda file: pq.write_table(pq.read_table(file).set_column(2, "predicted", pa.array(["b"] * N)), file),
            "predictions of accuracy 0.0000",
        ),
        (
            lambda file: pq.write_table(
                pa.table(dict.fromkeys(["true", "predicted"], ["c"] * 360 + ["d"] * 40) | {"name": NAMES}), file
            ),
            "predictions of accuracy 1.0000",
        ),
    ],
)
def test_predictions_that_do_not_fit_give_no_verdict(judged, folders, spoil, reason):
    """A missing, torn, shorter or other file: the sentence says so, the other rows keep their verdicts."""
    paths = [judged("base", range(40)), judged("bad", range(20)), judged("good", range(100, 110))]
    spoil(folders.root / "bad-on-test" / "predictions.parquet")
    rows, _ = collect(paths)
    rows, (verdicts, problem) = compare_with(rows, rows[0])
    assert problem.startswith("bad has no verdict: it ") and reason in problem
    assert rows[1].against is None and "good is better" in verdicts


def test_other_names_are_not_matched(judged):
    paths = [judged("base", range(40)), judged("other", range(10), names=[f"q{i}" for i in range(N)])]
    rows, _ = collect(paths)
    rows, [problem] = compare_with(rows, rows[0])
    assert "pictures of other names" in problem and rows[1].against is None


def test_a_baseline_that_can_not_be_one_is_refused(judged, folders):
    """Unknown names get a suggestion; without predictions there is nothing to test against."""
    judged("student", range(40))
    rows, _ = collect([folders.root / "student", folders.model("bare", measured=[])])
    with pytest.raises(UserError, match="--baseline studnt: is none of the rows. Did you mean 'student'"):
        find(rows, "studnt")
    assert find(rows, str(folders.root / "student")) is rows[0]
    with pytest.raises(UserError, match="nothing was measured on it. Write: strop evaluate"):
        compare_with(rows, rows[1])


def test_each_entry_of_an_evaluation_has_its_own_file(judged, folders):
    """An evaluation of test and validation names a file for each; other folders that a name holds are not followed."""
    paths = [judged("base", range(40)), judged("other", range(100, 110))]
    for name in ("base", "other"):
        look = folders.root / f"{name}-on-test"
        result = json.loads((look / "result.json").read_text())
        named = {"predictions": "../../elsewhere/predictions-first.parquet"}
        result["measured"] = [result["measured"][0] | {"split": "val", "accuracy": 0.5}, result["measured"][0] | named]
        (look / "result.json").write_text(json.dumps(result))
        (look / "predictions.parquet").rename(look / "predictions-first.parquet")
    rows, _ = collect(paths)
    assert rows[0].predictions == folders.root / "base-on-test" / "predictions-first.parquet"
    assert compare_with(rows, rows[0])[0][1].against.verdict == "better"


def test_python_gets_what_the_command_prints(judged, folders):
    """`strop.compare(..., baseline=...)`: the verdicts in rows and notes, and the same refusals."""
    paths = [judged("base", range(40)), judged("good", range(100, 110))]
    rows, notes = strop.compare(*paths, baseline="base", split="test")
    assert rows[1].against.verdict == "better" and notes[0].startswith("Against base on 400 test pictures")
    with pytest.raises(UserError, match="nothing can be ranked"):
        strop.compare(paths[0], judged("elsewhere", range(3), pictures="blake2b:other"), baseline="base")


def test_page_tells_apart_by_the_test_where_there_are_predictions(judged, folders):
    """The better one and the twin by their pictures; a model without predictions by its interval only."""
    paths = [judged("base", range(40)), judged("good", range(100, 110)), judged("twin", range(40))]
    blind = [folders.measure(0.9, file_hash="sha256:b", file="model.safetensors") | {"pictures": "blake2b:p0"}]
    rows = collect([*paths, folders.model("blind", measured=blind)]).rows
    said = apart(rows[0], rows)
    assert said[0].startswith("good is better than base: +7.5 points [+4.")
    assert said[1] == "Not told apart from base: twin (+0.0 points [+0.0, +0.0], p = 1.000)."
    assert said[2].startswith("Tested on the same pictures by the exact McNemar test")
    assert said[3].startswith("The 95 % intervals of base and of blind overlap") and len(said) == 4
