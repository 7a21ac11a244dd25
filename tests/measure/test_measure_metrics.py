"""Scores from confusion matrices: published tables reproduced, formulas written out, invariances."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from strop.measure.metrics import running, score
from strop.report.sections import class_lines

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

# The per-class tables of the reference work on CIFAR-10's 10,000 test pictures, 1,000 a class: by row of its main
# table, the right answers and the predictions of each class (they follow from the table's recall and precision),
# then the table as printed: precision, recall and F1 of each class, and their "macro avg".
TABLES = {
    6: (
        (967, 969, 952, 935, 971, 927, 965, 967, 978, 970),
        (996, 987, 1005, 1038, 1005, 985, 981, 978, 1008, 1017),
        """0.970884 0.967000 0.968938  0.981763 0.969000 0.975340  0.947264 0.952000 0.949626
           0.900771 0.935000 0.917566  0.966169 0.971000 0.968579  0.941117 0.927000 0.934005
           0.983690 0.965000 0.974255  0.988753 0.967000 0.977755  0.970238 0.978000 0.974104
           0.953786 0.970000 0.961824  0.960443 0.960100 0.960199""",
    ),
    7: (
        (970, 978, 948, 934, 963, 912, 980, 969, 972, 972),
        (1006, 1003, 993, 1043, 999, 963, 1012, 976, 995, 1010),
        """0.964215 0.970000 0.967099  0.975075 0.978000 0.976535  0.954683 0.948000 0.951330
           0.895494 0.934000 0.914342  0.963964 0.963000 0.963482  0.947040 0.912000 0.929190
           0.968379 0.980000 0.974155  0.992828 0.969000 0.980769  0.976884 0.972000 0.974436
           0.962376 0.972000 0.967164  0.960094 0.959800 0.959850""",
    ),
    10: (
        (937, 970, 916, 864, 951, 910, 962, 963, 961, 961),
        (973, 1001, 985, 1002, 1014, 1027, 1013, 994, 985, 1006),
        """0.963001 0.937000 0.949823  0.969031 0.970000 0.969515  0.929949 0.916000 0.922922
           0.862275 0.864000 0.863137  0.937870 0.951000 0.944389  0.886076 0.910000 0.897879
           0.949654 0.962000 0.955787  0.968813 0.963000 0.965898  0.975635 0.961000 0.968262
           0.955268 0.961000 0.958126  0.939757 0.939500 0.939574""",
    ),
}
# The main table's "accuracy" and recall columns, in percent, and the true accuracy: right answers / 10,000.
MAIN_TABLE = {6: (96.04, 96.01, 0.9601), 7: (96.01, 95.89, 0.9598), 10: (93.98, 93.95, 0.9395)}


def rebuild(hits, predicted, support=1000):
    """A matrix with this diagonal, rows that sum to `support` and columns that sum to `predicted`."""
    missed = [support - hit for hit in hits]
    wrong = [count - hit for count, hit in zip(predicted, hits, strict=True)]
    matrix = np.diag(hits)
    while any(missed):
        # One mistake at a time from the class that needs it most, so that no class is left with only itself.
        i = max(range(len(hits)), key=lambda k: missed[k] + wrong[k])
        if missed[i]:
            j = max((k for k in range(len(hits)) if k != i), key=lambda k: wrong[k])
        else:
            i, j = max((k for k in range(len(hits)) if k != i), key=lambda k: missed[k]), i
        matrix[i, j] += 1
        missed[i] -= 1
        wrong[j] -= 1
    assert matrix.sum(1).tolist() == [support] * len(hits) and matrix.sum(0).tolist() == list(predicted)
    return matrix


@pytest.mark.parametrize("row", TABLES)
def test_published_tables(row):
    """All six decimals of precision, recall, F1 and macro average, through `score` and `class_lines`."""
    hits, predicted, printed = TABLES[row]
    numbers = printed.split()
    scores = score(rebuild(hits, predicted), CLASSES)
    lines = [
        f"Class {name}: Precision: {p}, Recall: {r}, F1-Score: {f}"
        for name, p, r, f in zip(CLASSES, numbers[0::3], numbers[1::3], numbers[2::3], strict=False)
    ]
    p, r, f = numbers[-3:]
    lines.append(f"macro avg: Precision: {p}, Recall: {r}, F1-Score: {f}")
    assert class_lines(scores).splitlines() == lines
    assert scores["n"] == 10_000 and [line["support"] for line in scores["per_class"]] == [1000] * 10


@pytest.mark.parametrize("row", TABLES)
def test_the_published_accuracy_column_is_macro_precision(row):
    """Accuracy, macro precision and macro recall are three numbers; the reference printed the second as the first."""
    column, recall, accuracy = MAIN_TABLE[row]
    scores = score(rebuild(*TABLES[row][:2]), CLASSES)
    assert scores["accuracy"] == accuracy
    assert round(100 * scores["macro_precision"], 2) == column != round(100 * scores["accuracy"], 2)
    assert scores["macro_recall"] == pytest.approx(accuracy, abs=1e-12)  # equal class sizes
    assert (round(100 * scores["macro_recall"], 2) == recall) == (row != 7)  # 95.89 is 95.98 with swapped digits


def test_by_hand():
    """Two classes small enough for a pencil; macro F1 is the mean of F1s, not the F1 of the means."""
    scores = score(np.array([[1, 3], [0, 4]]), ["a", "b"])
    first, second = scores["per_class"]
    assert (first["precision"], first["recall"], first["f1"]) == pytest.approx((1, 1 / 4, 2 / 5))
    assert (second["precision"], second["recall"], second["f1"]) == pytest.approx((4 / 7, 1, 8 / 11))
    assert scores["accuracy"] == 5 / 8
    assert scores["macro_f1"] == pytest.approx((2 / 5 + 8 / 11) / 2)
    p, r = scores["macro_precision"], scores["macro_recall"]
    assert scores["macro_f1"] != pytest.approx(2 * p * r / (p + r), abs=0.05)


matrices = arrays(np.int64, (4, 4), elements=st.integers(0, 30)).filter(lambda matrix: matrix.sum() > 0)


@settings(max_examples=50, deadline=None)
@given(matrices, st.permutations(range(4)))
def test_order_of_the_classes_does_not_matter(matrix, order):
    """Reordering rows, columns and names reorders the per-class rows and changes nothing else."""
    names = np.array(["a", "b", "c", "d"])
    before = score(matrix, names.tolist())
    after = score(matrix[np.ix_(order, order)], names[order].tolist())
    assert sorted(after["per_class"], key=lambda row: row["name"]) == before["per_class"]
    for name in ("n", "accuracy", "accuracy_interval"):
        assert after[name] == before[name]
    for name in ("macro_precision", "macro_recall", "macro_f1"):
        assert after[name] == pytest.approx(before[name], abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(matrices)
def test_transposing_swaps_precision_and_recall(matrix):
    """Rows are the truth and columns the predictions: exchanging them exchanges the two scores and keeps F1."""
    one, other = (score(m, "abcd")["per_class"] for m in (matrix, matrix.T))
    for a, b in zip(one, other, strict=True):
        assert (a["precision"], a["recall"]) == pytest.approx((b["recall"], b["precision"]), abs=1e-12)
        assert a["f1"] == pytest.approx(b["f1"], abs=1e-12)


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (7, 10), (10, 10), (9601, 10_000), (437, 500)])
def test_wilson_interval(hits, n):
    """(p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), z the normal quantile of 97.5 %."""
    z, p = 1.959963984540054, hits / n
    centre, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    expected = [(centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)]
    found = score(np.array([[hits, n - hits], [0, 0]]), ["yes", "no"])
    assert found["accuracy_interval"] == pytest.approx(expected, abs=1e-9)
    assert found["interval_method"] == "Wilson 95%"


def test_a_class_that_is_never_predicted():
    """It has precision, recall and F1 of 0, without a warning and without leaving the means."""
    scores = score(np.array([[5, 0, 0], [1, 4, 0], [2, 1, 0]]), "abc")
    assert {k: v for k, v in scores["per_class"][2].items() if k != "name"} == {
        "precision": 0.0,
        "recall": 0.0,
        "f1": 0.0,
        "support": 3,
    }
    assert scores["macro_precision"] == pytest.approx((5 / 8 + 4 / 5 + 0) / 3)


def test_a_class_without_pictures_is_in_no_mean():
    """Its own figures are 0; the means are those of the classes with pictures, and the balanced accuracy of sklearn."""
    scores = score(np.array([[8, 1, 1], [0, 0, 0], [2, 0, 6]]), "abc")
    assert [row["support"] for row in scores["per_class"]] == [10, 0, 8] and scores["per_class"][1]["f1"] == 0
    assert scores["macro_recall"] == pytest.approx((8 / 10 + 6 / 8) / 2)
    assert scores["macro_precision"] == pytest.approx((8 / 10 + 6 / 7) / 2)
    assert scores["macro_f1"] == pytest.approx((16 / 20 + 12 / 15) / 2)


@pytest.mark.parametrize(
    ("matrix", "classes"),
    [(np.zeros((2, 2), int), "ab"), (np.ones((2, 2), int), "abc"), (np.ones((2, 3), int), "ab")],
)
def test_nothing_to_score(matrix, classes):
    """An empty matrix, or names that don't fit it, are refused."""
    with pytest.raises(ValueError, match=re.escape(str(matrix.shape))):
        score(matrix, classes)


def test_running_means_of_an_epoch():
    """Loss by pictures; accuracy over all; recall the mean over the classes that were seen."""
    sums = {"loss": torch.tensor(6.0), "hits": torch.tensor([3, 1, 0]), "seen": torch.tensor([4, 8, 0])}
    assert running(sums) == {"loss": 0.5, "accuracy": 4 / 12, "recall": (3 / 4 + 1 / 8) / 2}
