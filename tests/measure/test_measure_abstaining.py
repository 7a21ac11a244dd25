"""Abstaining: thresholds by hand, sets that hold the truth as promised, and scores that tell other pictures."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from strop.measure.abstaining import Fold, Said, conformal_sets, halves, threshold_table
from strop.measure.outliers import outlier_scores, separation


def said(n, classes=5, seed=0, scale=2.0, wrong=1.0):
    """Truths drawn from softmax(z), probabilities softmax(wrong z): calibrated for 1, too sure above."""
    random = np.random.default_rng(seed)
    z = scale * random.normal(size=(n, classes))
    targets = (random.random(n)[:, None] > softmax(z, 1).cumsum(1)).sum(1)
    return Said(softmax(wrong * z, 1).astype(np.float32), targets)


def test_threshold_by_hand():
    """Confidences 0.9, 0.8, 0.7, 0.6: half of them is reached by 0.8; of 0.85, 0.75 and 0.5 only the first is."""
    two = lambda values: np.array([[v, 1 - v] for v in values])  # noqa: E731
    chosen = Said(two([0.9, 0.6, 0.8, 0.7]), np.zeros(4, int))
    measured = Said(two([0.85, 0.75, 0.5]), np.array([0, 1, 0]))
    whole, half = threshold_table([Fold(chosen, measured)], (1.0, 0.5))
    assert (whole["threshold"], whole["n"], whole["accuracy"]) == (0.0, 3, pytest.approx(2 / 3))
    assert (half["threshold"], half["n"], half["coverage"], half["accuracy"]) == (0.8, 1, pytest.approx(1 / 3), 1.0)


def test_fewer_answers_are_better_ones():
    """On new pictures the share answered is about the aim, and accuracy rises; nothing answered is no accuracy."""
    rows = threshold_table([Fold(said(4000, seed=1), said(4000, seed=2))])
    for row in rows:
        assert row["coverage"] == pytest.approx(row["aim"], abs=0.03)
    accuracy = [row["accuracy"] for row in rows]
    assert accuracy == sorted(accuracy) and accuracy[-1] > accuracy[0] + 0.1
    unsure = Said(np.full((3, 2), 0.5), np.zeros(3, int))
    [row] = threshold_table([Fold(said(50, 2), unsure)], (0.5,))
    assert row["n"] == 0 and row["accuracy"] is None


@pytest.mark.parametrize("wrong", [0.5, 1.0, 3.0])
def test_sets_hold_what_they_promise(wrong):
    """However badly calibrated: 40 times 200 pictures to choose on, mean coverage within 1 point of the aim."""
    folds = [Fold(said(200, seed=2 * i, wrong=wrong), said(400, seed=2 * i + 1, wrong=wrong)) for i in range(40)]
    for row in conformal_sets(folds):
        assert row["coverage"] == pytest.approx(row["aim"], abs=0.012), row["method"]
        assert row["coverage_interval"][0] < row["coverage"] < row["coverage_interval"][1]
        assert sum(row["sizes"]) == row["n"] == 16_000
        assert row["mean_size"] == pytest.approx(np.dot(row["sizes"], range(len(row["sizes"]))) / 16_000)


def test_lac_by_hand():
    """Nine true probabilities 0.1 ... 0.9, level 0.8: the ceil(10 * 0.8) = 8th smallest of 1 - p is 0.8."""
    p = np.arange(1, 10) / 10
    chosen = Said(np.stack([p, 1 - p], 1), np.zeros(9, int))
    new = Said(np.array([[0.9, 0.1], [0.7, 0.3]]), np.array([1, 1]))
    row = conformal_sets([Fold(chosen, new)], (0.8,))[0]
    assert row["quantile"] == pytest.approx(0.8) and row["sizes"] == [0, 1, 1] and row["coverage"] == 0.5


def test_too_few_to_promise():
    """From five pictures nothing holds 95 %: every class is in every set, and there is no quantile."""
    for row in conformal_sets([Fold(said(5), said(20))], (0.95,)):
        assert row["quantile"] is None and row["coverage"] == 1.0 and row["mean_size"] == 5.0


def test_halves_measure_each_picture_once():
    """The two halves are disjoint, together all, and the same for one seed."""
    whole = said(101)
    one, other = halves(whole)
    both = np.concatenate([one.measured_on.probabilities, other.measured_on.probabilities])
    assert sorted(map(tuple, both)) == sorted(map(tuple, whole.probabilities))
    assert (one.chosen_on.targets == other.measured_on.targets).all()


def test_auroc_as_scikit_learn():
    """With ties too; 1 and 0 when apart; turning the score around is 1 - AUROC."""
    random = np.random.default_rng(0)
    inside, outside = random.integers(0, 9, 200).astype(float), random.integers(-2, 7, 90).astype(float)
    labels = np.r_[np.ones(200), np.zeros(90)]
    found = separation(inside, outside)
    assert found["auroc"] == pytest.approx(roc_auc_score(labels, np.r_[inside, outside]))
    assert separation(-inside, -outside)["auroc"] == pytest.approx(1 - found["auroc"])
    assert separation(np.arange(5.0), np.arange(-5.0, 0))["auroc"] == 1.0
    assert separation(np.arange(100.0), np.arange(-50.0, 50.0))["fpr_at_95_tpr"] == 0.45  # 5 .. 49 of -50 .. 49


def test_interval_of_the_auroc_covers():
    """Two normals one sd apart: the AUROC is norm.cdf(1 / sqrt(2)) = 0.7602; 400 draws of 60 and 40."""
    random, held = np.random.default_rng(0), 0
    for _ in range(400):
        low, high = separation(random.normal(1, 1, 60), random.normal(0, 1, 40))["auroc_interval"]
        held += low <= 0.7602 <= high
    assert 0.92 < held / 400 < 0.98


def test_scores_of_outliers():
    """By hand for one row; of log-probabilities the energy says nothing and is left out."""
    z = np.array([[1.0, 2.0, 0.0]])
    scores = outlier_scores(z, has_logits=True)
    assert scores["energy"][0] == pytest.approx(np.log(np.exp([1, 2, 0]).sum()))
    assert scores["max softmax"][0] == pytest.approx(softmax(z, 1).max())
    assert list(outlier_scores(z, has_logits=False)) == ["max softmax"]
