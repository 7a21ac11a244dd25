"""Intervals: the figure inside, the same draws again, and the truth covered as often as is said."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from strop.data.load import Loader, MemoryPictures
from strop.measure.answers import Answers
from strop.measure.bootstrap import intervals
from strop.measure.evaluate import evaluate
from strop.measure.metrics import wilson
from strop.measure.probabilities import brier

SKILL = np.array([[0.85, 0.10, 0.05], [0.15, 0.75, 0.10], [0.05, 0.25, 0.70]])  # chance of each answer, by true class
SHARE = np.array([0.5, 0.3, 0.2])


def answers_of(logits, targets):
    """What `evaluate` would have filled in, in one batch."""
    made, p = Answers(*logits.shape), logits.double().softmax(1)
    made.add(
        SimpleNamespace(indices=torch.arange(len(logits)), targets=targets), logits, p.max(1)[0], brier(p, targets)
    )
    return made


def some(n=400, k=5, seed=0):
    random = torch.Generator().manual_seed(seed)
    targets = torch.randint(k, (n,), generator=random)
    return 2 * torch.nn.functional.one_hot(targets, k) + 1.5 * torch.randn(n, k, generator=random), targets


def simulate(random, n):
    """n pictures of a network with the skill above; answers without probabilities of interest."""
    true = random.choice(3, n, p=SHARE)
    said = (random.random(n)[:, None] > SKILL[true].cumsum(1)).sum(1)
    return torch.from_numpy(true), torch.from_numpy(said)


def test_coverage_between_93_and_97_percent():
    """400 test sets of 300 pictures: Wilson's intervals hold the true accuracy, the bootstrap's the true macro F1.

    Truth: accuracy sum_k share_k skill_kk; F1_k = 2 share_k skill_kk / (share_k + sum_i share_i skill_ik). Chance alone
    moves a coverage of 95 % by 1.1 points (one sd of 400).
    """
    cells, random = SHARE[:, None] * SKILL, np.random.default_rng(0)
    accuracy = np.trace(cells)
    f1 = np.mean(2 * np.diag(cells) / (cells.sum(0) + cells.sum(1)))
    held = np.zeros(2)
    for _ in range(400):
        true, said = simulate(random, 300)
        low, high = wilson(int((true == said).sum()), 300)
        made = answers_of(4.0 * torch.nn.functional.one_hot(said, 3), true)
        bottom, top = intervals(made, seed=int(random.integers(2**31)), resamples=300)["intervals"]["macro_f1"]
        held += [low <= accuracy <= high, bottom <= f1 <= top]
    assert (held / 400 > 0.93).all() and (held / 400 < 0.97).all(), held / 400


FEW = {"macro_precision": 0.9804, "macro_recall": 0.9804, "macro_f1": 0.9804, "loss": 0.0506, "brier": 0.0290}


def test_coverage_where_few_answers_are_wrong():
    """Three of 150 wrong: intervals hold the truth in 93 to 98 of 100 tests; none is [1, 1], or given without mistakes.

    Truths drawn from softmax(z), z of three normals of sd 30, logits 1.5 z; figures are means over 20,000,000 pictures
    (the classes are alike, so macro figures equal the accuracy). 300 tests: chance moves a coverage by 1.3 points.
    """
    random, held = torch.Generator().manual_seed(0), dict.fromkeys(FEW, 0)
    for _ in range(300):
        z = 30 * torch.randn(150, 3, generator=random, dtype=torch.float64)
        targets = torch.multinomial(z.softmax(1), 1, generator=random)[:, 0]
        made = answers_of((1.5 * z).float(), targets)
        found = intervals(made, resamples=200)["intervals"]
        for name, truth in FEW.items():
            if name in ("loss", "brier") and made.right.all():
                assert found[name] is None
                held[name] += 0.95
                continue
            low, high = found[name]
            held[name] += low <= truth <= high
            assert low < high and low < 1
    assert all(0.93 < count / 300 < 0.985 for count in held.values()), held


def test_intervals_without_mistakes():
    """Wilson's of as many pictures where classes are equal (z**2 / (n + z**2) below 1); a rare class makes it wider.

    One picture of 41 in a class of its own is worth 3 ** 2 / (1 + 1 / 20 + 1 / 20) = 8.2 in three equal classes. A
    class without pictures changes nothing.
    """
    for counts, n in (((20, 20, 20), 60), ((1, 20, 20), 9 / 1.1), ((20, 0, 20), 40)):
        targets = torch.repeat_interleave(torch.arange(3), torch.tensor(counts))
        found = intervals(answers_of(9.0 * torch.nn.functional.one_hot(targets, 3), targets))["intervals"]
        for name in ("macro_precision", "macro_recall", "macro_f1"):
            assert found[name] == pytest.approx([n / (n + 1.959964**2), 1.0], abs=1e-6), name
        assert found["ece"][1] >= 1 - 1e-3 - wilson(len(targets), len(targets))[0] - 1e-3


@pytest.mark.parametrize(("scale", "truth"), [(1.0, 0.0), (1.3, 0.0551), (2.0, 0.1454)])
def test_coverage_of_the_calibration_error(scale, truth):
    """Truths drawn from softmax(z), z of three standard normals, logits scale * z, 250 tests of 300 pictures.

    The truth is the ECE of 2,000,000 pictures whose outcomes are replaced by their probabilities. Chance moves a
    coverage by 1.4 points (one sd). A calibrated network is above `ece_by_chance` in 2.5 % of the tests.
    """
    random, held = torch.Generator().manual_seed(0), np.zeros(2)
    for _ in range(250):
        z = torch.randn(300, 3, generator=random)
        targets = torch.multinomial(z.softmax(1), 1, generator=random)[:, 0]
        made = answers_of(scale * z, targets)
        found = intervals(made, resamples=200)
        low, high = found["intervals"]["ece"]
        bins = np.bincount(np.ceil(made.confidence * 15).astype(int), made.right - made.confidence)
        held += [low <= truth <= high, np.abs(bins).sum() / 300 > found["ece_by_chance"]]
    assert 0.92 < held[0] / 250 < 0.99, held
    assert held[1] / 250 < 0.05 if scale == 1.0 else held[1] > 0.025 * 250


def test_figures_are_those_of_evaluate():
    """A single draw of every picture once gives the scores themselves; the intervals hold them (the ECE's need not)."""
    logits, targets = some()
    images = torch.arange(400).view(-1, 1, 1, 1)
    images = torch.cat([images % 256, images // 256], 3).to(torch.uint8)
    loader = Loader(MemoryPictures(images, targets), batch_size=64, seed=0, shuffle=False)
    made = Answers(400, 5)
    found = evaluate(
        lambda x: logits[x[..., 0].flatten().int() + 256 * x[..., 1].flatten().int()], loader, "abcde", answers=made
    )
    assert made.right.mean() == found["accuracy"] and made.loss.mean() == pytest.approx(found["loss"], rel=1e-6)
    for name, (low, high) in intervals(made)["intervals"].items():
        assert low < high
        if name != "ece":
            assert low < found[name] < high, name


def test_the_same_draws_again():
    """Equal seeds give equal intervals to the last digit, another seed others."""
    made = answers_of(*some())
    assert intervals(made, seed=3) == intervals(made, seed=3) != intervals(made, seed=4)


def test_logits_are_thinned_not_cut(monkeypatch):
    """Of more than fit, every third picture's are kept, from one end to the other; scores are those of all."""
    logits, targets = some(n=100, k=5)
    made = Answers(100, 5, most_values=200)
    for part in torch.arange(100).split(7):
        p = logits[part].double().softmax(1)
        batch = SimpleNamespace(indices=part, targets=targets[part])
        made.add(batch, logits[part], p.max(1)[0], brier(p, targets[part]))
    assert made.kept.tolist() == list(range(0, 100, 3)) and (made.logits == logits.numpy()[::3]).all()
    assert (made.predicted == logits.argmax(1).numpy()).all()
