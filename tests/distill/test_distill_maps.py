"""Losses on maps: the formula by hand, zero at equality, what must not matter, extremes; adapters and pairs."""

import math

import pytest
import torch
from torch import nn

from strop.distill import losses as on_answers
from strop.distill.maps import maps
from strop.distill.maps.pairs import pair_up, same_size
from strop.distill.objective import Distilled
from strop.errors import UserError
from strop.models import build
from strop.models.classifier import Classifier, Preprocess
from strop.train.losses import losses
from strop.train.objective import Supervised


def draw(seed, *shape):
    return torch.randn(*(shape or (3, 4, 2, 2)), generator=torch.Generator().manual_seed(seed))


def fitted(name, channels=((4, 4),), **options):
    loss = maps.get(name)(**options)
    loss.fit(channels, torch.Generator().manual_seed(0))
    return loss


def classifier(name="cnn3", size=16, seed=0):
    torch.manual_seed(seed)
    net = build(name, num_classes=3, in_chans=1, input_size=size)
    return Classifier(net, Preprocess(size, 1, (0.5,), (0.25,)), ("a", "b", "c"))


def objective(words="hint", learner=None, master=None, soft=None, **options):
    student, teacher = learner or classifier(seed=1), master or classifier(seed=2)
    pairs = [pair_up(word, maps.get(word)(**options), student, teacher, torch.Generator()) for word in words.split("+")]
    supervised = Supervised(student, losses.get("cross-entropy")())
    return Distilled(supervised, teacher, soft, pairs)


def batch(n=4):
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (n, 1, 16, 16), dtype=torch.uint8, generator=generator), torch.arange(n) % 3


def test_hint_by_hand():
    """The mean over pictures of ||W s + b - t||^2 / ||t||^2, in plain floats; two pairs add up."""
    ours, theirs = draw(1, 3, 2, 2, 2), draw(2)
    loss = fitted("hint", [(2, 4)])
    weight, bias = loss.adapters[0].weight.detach()[:, :, 0, 0].tolist(), [0.1, -0.2, 0.3, 0.0]
    loss.adapters[0].bias.data = torch.tensor(bias)
    total = 0.0
    for s, t in zip(ours.tolist(), theirs.tolist(), strict=True):
        off = size = 0.0
        for y in range(2):
            for x in range(2):
                for k in range(4):
                    mapped = sum(weight[k][c] * s[c][y][x] for c in range(2)) + bias[k]
                    off += (mapped - t[k][y][x]) ** 2
                    size += t[k][y][x] ** 2
        total += off / size / 3
    assert loss([ours], [theirs]).item() == pytest.approx(total, rel=1e-5)
    both = fitted("hint", [(4, 4), (4, 4)])
    one = fitted("hint")
    expected = one([draw(1)], [draw(2)]) + one([draw(3)], [draw(4)])
    assert both([draw(1), draw(3)], [draw(2), draw(4)]).item() == pytest.approx(expected.item())


def test_attention_by_hand():
    """(q_s - q_t)^2, mean over pictures and positions; q = sum over channels of squares, over its norm."""

    def q(picture):
        values = [sum(picture[c][y][x] ** 2 for c in range(len(picture))) for y in range(2) for x in range(2)]
        norm = math.sqrt(sum(v * v for v in values))
        return [v / norm for v in values]

    ours, theirs = draw(1, 3, 5, 2, 2), draw(2)
    total = sum(
        sum((a - b) ** 2 for a, b in zip(q(s), q(t), strict=True)) / 4
        for s, t in zip(ours.tolist(), theirs.tolist(), strict=True)
    )
    assert fitted("attention")([ours], [theirs]).item() == pytest.approx(total / 3, rel=1e-5)


@pytest.mark.parametrize("name", maps.names())
def test_zero_and_flat_at_equality(name):
    """Equal maps cost nothing and pull nowhere; others cost something."""
    ours = draw(1).requires_grad_()
    found = fitted(name)([ours], [draw(1)])
    found.backward()
    assert found.item() == pytest.approx(0, abs=1e-12) and ours.grad.abs().max() < 1e-6
    assert fitted(name)([draw(2)], [draw(1)]).item() > 1e-3


@pytest.mark.parametrize("name", maps.names())
def test_what_does_not_matter(name):
    """The order of pictures, a batch given in two parts, a common shift of positions, the teacher's scale and ours."""
    ours, theirs = draw(1), draw(2)
    loss = fitted(name)
    whole = loss([ours], [theirs]).item()
    assert loss([ours[[2, 0, 1]]], [theirs[[2, 0, 1]]]).item() == pytest.approx(whole, rel=1e-5)
    parts = 2 * loss([ours[:2]], [theirs[:2]]).item() + loss([ours[2:]], [theirs[2:]]).item()
    assert parts == pytest.approx(3 * whole, rel=1e-5)
    assert loss([ours.roll(1, 3)], [theirs.roll(1, 3)]).item() == pytest.approx(whole, rel=1e-5)
    assert loss([7 * ours], [7 * theirs]).item() == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("name", maps.names())
def test_finite_at_extremes(name):
    """Maps of 1e4 that contradict each other, and maps of zeros on either side."""
    for ours, theirs in (
        (1e4 * draw(1), -1e4 * draw(1)),
        (0 * draw(1), draw(2)),
        (draw(1), 0 * draw(2)),
        [0 * draw(1)] * 2,
    ):
        leaf = ours.clone().requires_grad_()
        found = fitted(name)([leaf], [theirs])
        found.backward()
        assert torch.isfinite(found) and torch.isfinite(leaf.grad).all()


def test_two_sizes_are_pooled_to_the_smaller():
    """An adaptive mean on whichever is larger; 4 x 4 to 2 x 2 is the mean of each quarter."""
    large, small = draw(1, 1, 1, 4, 4), draw(2, 1, 1, 2, 2)
    quarters = torch.stack([large[0, 0, y : y + 2, x : x + 2].mean() for y in (0, 2) for x in (0, 2)]).view(1, 1, 2, 2)
    for pair, pooled in (((large, small), 0), ((small, large), 1)):
        found = same_size(*pair)
        torch.testing.assert_close(found[pooled], quarters)
        assert torch.equal(found[1 - pooled], small)


@pytest.mark.parametrize("name", maps.names())
def test_arguments_out_of_range(name):
    """The value is shown."""
    with pytest.raises(ValueError, match=r"weight is -0\.5"):
        maps.get(name)(weight=-0.5)
    with pytest.raises(ValueError, match=r"p is 0"):
        maps.get("attention")(p=0)


def test_adapters_only_where_the_channels_differ():
    """cnn2 has 16 and 32 channels, cnn3 16, 32 and 64: one adapter of 32 x 64 weights and 64 biases."""
    made = objective("hint", classifier("cnn2"), classifier("cnn3"), student="layer1/layer2", teacher="layer1/layer3")
    assert [type(adapter) for adapter in made.maps[0].adapters] == [nn.Identity, nn.Conv2d]
    assert sum(parameter.numel() for parameter in made.beside()) == 32 * 64 + 64
    assert {name for name in made.state_dict() if not name.startswith("student.")} == {
        "maps.0.adapters.1.weight",
        "maps.0.adapters.1.bias",
    }


def test_adapters_are_a_function_of_the_seed():
    """The same first values each time."""
    weights = [fitted("hint", [(2, 4)]).adapters[0].weight for _ in range(2)]
    assert torch.equal(*weights)


@pytest.mark.parametrize("soft", [None, "kd"])
def test_total_by_hand(soft):
    """hard_weight x labels + weights x losses, times the pictures; without a loss on answers the labels count whole."""
    part = on_answers.get("kd")(weight=0.9, hard_weight=0.1) if soft else None
    made = objective("hint+attention", soft=part, student="layer2", weight=3.0)
    made.mode(train=False)
    loss = made(*batch())
    parts = {name: loss.parts[name].item() for name in ("loss", "hint", "attention", "total")}
    expected = (0.1 if soft else 1.0) * parts["loss"] + 3 * parts["hint"] + 3 * parts["attention"]
    expected += 0.9 * loss.parts["soft"].item() if soft else 0
    assert loss.total.item() == pytest.approx(expected, rel=1e-5) and parts["total"] == loss.total.item()
    assert parts["hint"] > 0 and parts["attention"] > 0
    alone = made.maps[0]
    with torch.no_grad():
        ours, theirs = (model.net.features[:2](model.normalize(batch()[0])) for model in (made.student, made._teacher))
    assert parts["hint"] == pytest.approx(4 * alone([ours], [theirs]).item(), rel=1e-5)


def test_a_student_that_is_its_teacher():
    """Pays for the labels only."""
    teacher = classifier(seed=5)
    made = objective("hint+attention", classifier(seed=5), teacher)
    made.mode(train=False)
    loss = made(*batch())
    assert loss.parts["hint"].item() == loss.parts["attention"].item() == 0
    assert loss.total.item() == pytest.approx(loss.parts["loss"].item())


def test_the_teacher_stays_as_it_is():
    """Student and adapters get gradients, the teacher none; it stays in eval mode and no hook is left."""
    made = objective("hint", classifier("cnn2"), classifier("cnn3"))
    made.train()
    made.mode(train=True)
    made(*batch()).total.backward()
    assert all(parameter.grad is not None for parameter in [*made.beside(), *made.student.parameters()][:-2])
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in made._teacher.parameters())
    assert not any(module.training for module in made._teacher.modules())
    assert not any(module._forward_hooks for model in (made.student, made._teacher) for module in model.modules())


def test_stages_that_do_not_fit():
    """An unknown one is named with those there are; unequal numbers are told apart."""
    with pytest.raises(UserError, match=r"student: 'layer9' is no stage with a map. Write last, all, or of: layer1, "):
        objective(student="layer9")
    with pytest.raises(UserError, match=r"student names 1 stages \(layer1\) and teacher 2 \(layer1, layer2\)"):
        objective(student="layer1", teacher="layer1/layer2")
