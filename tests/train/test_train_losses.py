"""Losses on labels."""

import math

import pytest
import torch
import torch.nn.functional as F

from strop.train.losses import losses

LOGITS = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], dtype=torch.float64)
TARGET = torch.tensor([1, 0])
SHARES = torch.tensor([[0.3, 0.7, 0.0], [0.5, 0.25, 0.25]], dtype=torch.float64)
NAMES = losses.names()


def loss(name, **options):
    return losses.get(name)(**options)


def draw(pictures=7, classes=5, scale=3.0):
    generator = torch.Generator().manual_seed(4)
    logits = scale * torch.randn(pictures, classes, dtype=torch.float64, generator=generator)
    return logits, torch.arange(pictures) % classes


@pytest.mark.parametrize("name", NAMES)
def test_contract_one_value_a_picture(name):
    """(B,), for classes and for shares; one-hot is the class; the order of pictures and classes does not matter."""
    logits, target = draw()
    found = loss(name)(logits, target)
    assert found.shape == (7,) and found.dtype == logits.dtype and (found >= 0).all()
    onehot = F.one_hot(target, 5).double()
    torch.testing.assert_close(loss(name)(logits, onehot), found)
    pictures, classes = torch.tensor([3, 0, 6, 1, 5, 2, 4]), torch.tensor([4, 2, 0, 1, 3])
    torch.testing.assert_close(loss(name)(logits[pictures][:, classes], onehot[pictures][:, classes]), found[pictures])


@pytest.mark.parametrize("name", NAMES)
def test_contract_finite_at_extreme_logits(name):
    """Logits of 1e4, right and wrong, and all equal: finite value and gradient in float32."""
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [5.0, 5.0, 5.0]], requires_grad=True)
    for target in (torch.tensor([0, 0, 0]), torch.tensor([[0.5, 0.5, 0.0]] * 3)):
        logits.grad = None
        found = loss(name)(logits, target)
        found.sum().backward()
        assert torch.isfinite(found).all() and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", NAMES)
def test_contract_descends_to_the_labels(name):
    """Following the gradient of the defaults makes the network right, and the loss close to 0."""
    logits, target = draw(scale=1.0)
    logits.requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        loss(name)(logits, target).mean().backward()
        optimizer.step()
    assert torch.equal(logits.argmax(1), target) and loss(name)(logits, target).max() < 0.05


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
@pytest.mark.parametrize("shares", [F.one_hot(TARGET, 3).double(), SHARES], ids=["classes", "shares"])
def test_cross_entropy_by_hand(smoothing, shares):
    """-sum q log p with q = (1 - smoothing) target + smoothing / K."""
    target = TARGET if (shares.max(1).values == 1).all() else shares
    found = loss("cross-entropy", smoothing=smoothing)(LOGITS, target)
    for value, row, parts in zip(found.tolist(), LOGITS.tolist(), shares.tolist(), strict=True):
        log_total = math.log(sum(map(math.exp, row)))
        q = [(1 - smoothing) * part + smoothing / 3 for part in parts]
        assert value == pytest.approx(-sum(a * (logit - log_total) for a, logit in zip(q, row, strict=True)))


def test_cross_entropy_knows_nothing_at_equal_logits():
    """log K, with and without smoothing."""
    for smoothing in (0.0, 0.3):
        found = loss("cross-entropy", smoothing=smoothing)(torch.zeros(4, 7), torch.arange(4))
        torch.testing.assert_close(found, torch.full((4,), math.log(7)))


@pytest.mark.parametrize(("smoothing", "threshold"), [(0.0, None), (0.1, None), (0.0, 0.2), (0.1, 0.2)])
def test_bce_by_hand(smoothing, threshold):
    """Two questions a class, the mean over classes."""
    found = loss("bce", smoothing=smoothing, threshold=threshold)(LOGITS, SHARES)
    for value, row, parts in zip(found.tolist(), LOGITS.tolist(), SHARES.tolist(), strict=True):
        expected = 0.0
        for logit, part in zip(row, parts, strict=True):
            q, s = (1 - smoothing) * part + smoothing / 3, 1 / (1 + math.exp(-logit))
            q = q if threshold is None else float(q > threshold)
            expected -= (q * math.log(s) + (1 - q) * math.log(1 - s)) / 3
        assert value == pytest.approx(expected)


@pytest.mark.parametrize("options", [{}, {"smoothing": 0.1}, {"smoothing": 0.1, "threshold": 0.2}])
def test_bce_is_that_of_timm(options):
    """timm.loss.BinaryCrossEntropy, with which "ResNet strikes back" was trained, means over pictures and classes."""
    timm_loss = pytest.importorskip("timm.loss")
    names = {"smoothing": "smoothing", "threshold": "target_threshold"}
    theirs = timm_loss.BinaryCrossEntropy(**{"smoothing": 0.0} | {names[k]: v for k, v in options.items()})
    logits, target = draw()
    torch.testing.assert_close(loss("bce", **options)(logits, target).mean(), theirs(logits, target))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_by_hand(gamma):
    """-alpha sum q (1 - p)**gamma log p."""
    found = loss("focal", gamma=gamma, alpha=0.25)(LOGITS, SHARES)
    for value, row, parts in zip(found.tolist(), LOGITS.tolist(), SHARES.tolist(), strict=True):
        p = [math.exp(logit) / sum(map(math.exp, row)) for logit in row]
        expected = -0.25 * sum(q * (1 - a) ** gamma * math.log(a) for q, a in zip(parts, p, strict=True))
        assert value == pytest.approx(expected)


def test_focal_without_focus_is_cross_entropy():
    """gamma = 0; and with gamma = 2 a picture at p = 0.9 counts a hundredth (Lin et al., section 3.2)."""
    logits, target = draw()
    torch.testing.assert_close(loss("focal", gamma=0.0)(logits, target), loss("cross-entropy")(logits, target))
    sure = torch.tensor([[math.log(9.0), 0.0]], dtype=torch.float64)
    ratio = loss("focal")(sure, torch.tensor([0])) / loss("cross-entropy")(sure, torch.tensor([0]))
    assert ratio.item() == pytest.approx(0.01)


def test_ohem_keeps_the_hardest():
    """5 of 7 pictures at a share of 0.7; the batch mean is theirs, the two easiest have no gradient."""
    logits, target = draw()
    logits.requires_grad_()
    costs = F.cross_entropy(logits, target, reduction="none")
    found = loss("ohem", share=0.7)(logits, target)
    hardest = costs.topk(5)
    assert found.mean().item() == pytest.approx(hardest.values.mean().item())
    found.sum().backward()
    assert set(logits.grad.abs().sum(1).nonzero()[:, 0].tolist()) == set(hardest.indices.tolist())
    torch.testing.assert_close(loss("ohem", share=1.0)(logits, target), costs)


def test_ohem_of_a_single_picture():
    """ceil(0.9 * 1) = 1: it is kept."""
    logits, target = draw(pictures=1)
    torch.testing.assert_close(loss("ohem")(logits, target), loss("cross-entropy")(logits, target))


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [("cross-entropy", "smoothing", v) for v in (-0.1, 1.0, float("nan"))]
    + [("bce", "smoothing", 1.0), ("bce", "threshold", -0.2), ("bce", "threshold", 1.0)]
    + [("focal", "gamma", -1.0), ("focal", "gamma", float("nan")), ("focal", "alpha", 0.0)]
    + [("ohem", "share", v) for v in (0.0, 1.1, float("nan"))],
)
def test_options_out_of_range(name, option, value):
    """The option and the value are shown."""
    with pytest.raises(ValueError, match=f"{option} is {value}"):
        loss(name, **{option: value})
