"""The verdict on two models: how often it is false, how often it finds what is there, and its parts by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest

from strop.measure.paired import LEVEL, against, bootstrap, holm, mcnemar
from strop.report.baseline import sentence


def answers(chance: np.random.Generator, pictures: int, models: int) -> np.ndarray:
    """Whether each of equally good models is right: pictures are easy or hard for all of them, the rest is chance."""
    ease = chance.beta(3, 0.6, size=pictures)  # mean 0.83, many certain ones, as a classifier's are
    return chance.random((models, pictures)) < ease


def test_equal_models_are_seldom_told_apart():
    """1,000 pairs through the function whose words are printed: at most 7 % are called better or worse (level 5 %)."""
    chance, false = np.random.default_rng(1), 0
    for _ in range(1000):
        one, other = answers(chance, 1000, 2)
        false += not sentence(against(one, {"other": other})["other"]).startswith("not told apart")
    assert false <= 70


def test_many_equal_models_are_seldom_told_apart():
    """Of four rows against a baseline any false verdict counts: still at most 7 % of 150 tables."""
    chance, false = np.random.default_rng(2), 0
    for _ in range(150):
        first, *others = answers(chance, 800, 5)
        found = against(first, {str(number): right for number, right in enumerate(others)})
        false += any(verdict.verdict != "not told apart" for verdict in found.values())
    assert false <= 10


def test_a_real_difference_is_found_and_has_its_sign():
    """2,000 pictures, 4.5 % gained and 1.5 % lost: 3 points, of which 95 of 100 draws or more must be found."""
    chance, found = np.random.default_rng(3), []
    for _ in range(100):
        draw = chance.random(2000)
        base, better = (draw > 0.045) & (draw < 0.85), (draw < 0.835)
        verdicts = against(base, {"better": better}), against(better, {"worse": base})
        found.append((verdicts[0]["better"].verdict, verdicts[1]["worse"].verdict))
    assert found.count(("better", "worse")) >= 95


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (0, 5), (3, 9), (9, 3), (40, 40), (25, 60), (700, 811)])
def test_mcnemar_is_the_binomial_test(gained, lost):
    """Two-sided, a fair coin for each disagreement; without any there is nothing to test."""
    expected = binomtest(gained, gained + lost, 0.5).pvalue if gained + lost else 1.0
    assert mcnemar(gained, lost) == pytest.approx(expected, rel=1e-9)


def test_holm_by_hand():
    """0.01 x 4, 0.02 x 3, 0.03 x 2 raised to 0.06, 0.2 x 1; in the order given; never above 1."""
    assert holm([0.03, 0.01, 0.2, 0.02]) == pytest.approx([0.06, 0.04, 0.2, 0.06])
    assert holm([0.6, 0.5]) == [1.0, 1.0] and holm([0.04]) == [0.04] and holm([]) == []


def test_bootstrap_covers_the_true_difference():
    """The interval of 600 pictures holds the true 2 points in 93 to 97 % of 1,000 draws, as 95 % promises."""
    chance = np.random.default_rng(4)
    drawn = chance.multinomial(600, [0.08, 0.06, 0.86], size=1000)
    bounds = [bootstrap(int(gained), int(lost), 600, draws=2000) for gained, lost, _ in drawn]
    assert 0.93 <= np.mean([low <= 0.02 <= high for low, high in bounds]) <= 0.97


def test_drawing_counts_is_drawing_pictures():
    """Percentiles of 20,000 draws of whole pictures agree within their own error."""
    signs = np.array([1] * 30 + [-1] * 12 + [0] * 258)
    drawn = np.random.default_rng(5).choice(signs, size=(20_000, 300)).mean(axis=1)
    assert bootstrap(30, 12, 300) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.004)


def test_the_same_answers_twice():
    """No difference, no doubt, no verdict."""
    right = np.array([True, False] * 50)
    verdict = against(right, {"twin": right})["twin"]
    assert (verdict.difference, verdict.low, verdict.high, verdict.p) == (0, 0, 0, 1)
    assert verdict.verdict == "not told apart" and LEVEL == 0.05


def test_different_pictures_are_refused():
    with pytest.raises(ValueError, match="same pictures"):
        against(np.ones(5, bool), {"other": np.ones(6, bool)})
