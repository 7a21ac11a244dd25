"""Augmentations that mix a batch: what all of them keep to, and what each does."""

import pytest
import torch
from torch import nn

from strop.augment.mixing import mixings, pick_one
from strop.distill import losses as distillation
from strop.distill.objective import Distilled
from strop.train.losses import losses
from strop.train.objective import Supervised, count

NAMES = mixings.names()


def batch(pictures=6, channels=3, height=10, width=14, classes=4):
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (pictures, channels, height, width), dtype=torch.uint8, generator=generator)
    return images, torch.arange(pictures) % classes


def onehot(target, classes=4):
    return nn.functional.one_hot(target, classes).float()


def mixed(name, seed=0, **options):
    torch.manual_seed(seed)
    images, target = batch()
    return mixings.get(name)(**options)(images, onehot(target))


@pytest.mark.parametrize("name", NAMES)
def test_contract_shapes_and_purity(name):
    """Same shapes out, shares that add up to 1, and what goes in stays as it was."""
    images, target = batch()
    before, shares = images.clone(), onehot(target)
    torch.manual_seed(0)
    made, new = mixings.get(name)()(images, shares)
    assert made.shape == images.shape and new.shape == shares.shape and new.dtype == torch.float32
    torch.testing.assert_close(new.sum(1), torch.ones(6))
    made.zero_(), new.zero_()
    assert torch.equal(images, before) and torch.equal(shares, onehot(target))


@pytest.mark.parametrize("name", NAMES)
def test_contract_a_function_of_torchs_seed(name):
    """The same seed gives the same batch, another seed another one."""
    first, again, other = mixed(name, 1), mixed(name, 1), mixed(name, 2)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(5))
def test_contract_a_batch_keeps_what_it_holds(name, seed):
    """At each place the pixels of all pictures add up to what they did before, and so do the shares of each class."""
    images, target = batch()
    made, shares = mixed(name, seed)
    torch.testing.assert_close(made.double().sum(0), images.double().sum(0), rtol=1e-5, atol=1e-2)
    torch.testing.assert_close(shares.sum(0), onehot(target).sum(0))


@pytest.mark.parametrize("name", NAMES)
def test_contract_one_picture_is_left_alone(name):
    """The last batch of an epoch may hold one; it has nothing to be mixed with."""
    images, target = batch(pictures=1)
    made, shares = mixings.get(name)()(images, onehot(target))
    torch.testing.assert_close(made.double(), images.double(), rtol=0, atol=1e-3)
    torch.testing.assert_close(shares, onehot(target))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("option", "value"), [("alpha", 0.0), ("alpha", float("nan")), ("p", 1.1), ("share", 0.0)])
def test_contract_options_out_of_range(name, option, value):
    with pytest.raises(ValueError, match=f"{option} is {value}"):
        mixings.get(name)(**{option: value})


def test_mixup_by_hand():
    """Each is lam of itself and 1 - lam of the picture before; the share of its own class says lam."""
    images, target = batch()
    made, shares = mixed("mixup", alpha=1.0)
    lam = shares[0, target[0]].item()
    assert 0 < lam < 1
    for i in range(6):
        expected = lam * images[i].double() + (1 - lam) * images[i - 1].double()
        torch.testing.assert_close(made[i].double(), expected, rtol=1e-5, atol=1e-3)
        assert shares[i, target[i - 1]].item() == pytest.approx(1 - lam, abs=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_cutmix_by_hand(seed):
    """Pixels come from one of two pictures, those of the other fill one box, and its area is the share, exactly."""
    images, target = batch()
    made, shares = mixed("cutmix", seed)
    assert made.dtype == torch.uint8
    foreign = (made != images).any(1)
    for i in range(6):
        assert torch.equal(made[i][:, foreign[i]], images[i - 1][:, foreign[i]])
    box = foreign.any(0)  # a pixel may be the same in two pictures, not in all six
    rows, columns = box.any(1).sum().item(), box.any(0).sum().item()
    assert box.sum().item() == rows * columns
    assert shares[0, target[-1]].item() == pytest.approx(rows * columns / 140, abs=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_lam_is_beta_distributed(alpha):
    """Mean 1/2, variance 1 / (4 (2 alpha + 1)); 1,000 draws, five standard errors (at most 0.5 / sqrt(n) each)."""
    torch.manual_seed(0)
    mixup, pair = mixings.get("mixup")(alpha=alpha), (torch.zeros(2, 1, 1, 1), torch.eye(2))
    lam = torch.tensor([mixup(*pair)[1][0, 0].item() for _ in range(1000)], dtype=torch.float64)
    assert lam.mean().item() == pytest.approx(0.5, abs=5 * 0.5 / 1000**0.5)
    assert lam.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), abs=5 * 0.25 / 1000**0.5)


def test_one_of_several_is_picked():
    """Shares 1 and 3, p of 1 and 0.5: mixup in 25 %, cutmix in 37.5 %, neither in 37.5 % of 1,000 batches."""
    torch.manual_seed(0)
    mix = pick_one([mixings.get("mixup")(alpha=1.0), mixings.get("cutmix")(p=0.5, share=3.0)], classes=4)
    images, target = batch(height=40, width=40)
    seen = {"mixup": 0, "cutmix": 0, "none": 0}
    for _ in range(1000):
        made, shares = mix(images, target)
        assert shares.shape == (6, 4)
        seen["mixup" if made.is_floating_point() else "cutmix" if made is not images else "none"] += 1
    for name, expected in (("mixup", 0.25), ("cutmix", 0.375), ("none", 0.375)):
        assert seen[name] / 1000 == pytest.approx(expected, abs=5 * (expected * (1 - expected) / 1000) ** 0.5)


def test_what_is_not_mixed_is_one_hot():
    images, target = batch()
    made, shares = pick_one([mixings.get("mixup")(p=0.0)], classes=4)(images, target)
    assert made is images and torch.equal(shares, onehot(target))


def test_accuracy_under_mixing_counts_the_larger_share():
    """The first of equal ones; each picture is seen once."""
    shares = torch.tensor([[0.7, 0.3, 0.0], [0.2, 0.0, 0.8], [0.5, 0.5, 0.0]])
    parts = count(torch.tensor([[2.0, 1, 0], [2, 1, 0], [2, 1, 0]]), shares)
    assert parts["hits"].tolist() == [2, 0, 0] and parts["seen"].tolist() == [2, 0, 1]


def test_a_teacher_sees_the_mixed_pictures():
    """Through the hook both networks get the same batch, and the loss on the labels has the shares."""

    class Note(nn.Module):
        def forward(self, images):
            self.seen = images
            return images.float().mean((2, 3)).repeat(1, 2)[:, :4]

    student, teacher = Note(), Note()
    objective = Distilled(Supervised(student, losses.get("cross-entropy")()), teacher, distillation.get("kd")())
    mix = pick_one([mixings.get("mixup")(alpha=1.0)], classes=4)
    objective.register_forward_pre_hook(lambda _, pair: mix(*pair))
    images, target = batch()
    torch.manual_seed(5)
    loss = objective(images, target)
    torch.manual_seed(5)
    expected, shares = mix(images, target)
    assert torch.equal(student.seen, expected) and torch.equal(teacher.seen, expected)
    logits = student(expected)
    assert loss.parts["loss"].item() == pytest.approx(
        nn.functional.cross_entropy(logits, shares, reduction="sum").item(), rel=1e-6
    )
