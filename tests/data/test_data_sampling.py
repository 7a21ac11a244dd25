"""Balanced sampling: exact numbers, an even stream of pictures, a function of (seed, epoch)."""

from collections import Counter

import numpy as np
import pytest
import torch

from strop.data.load import Loader, MemoryPictures
from strop.data.sampling import balanced_order

LABELS = np.repeat([0, 2, 3], [61, 7, 32])  # class 1 has no picture
LABELS = LABELS[np.random.default_rng(0).permutation(100)]


def test_classes_come_equally_often():
    """100 places for three classes: 34, 33 and 33, in every epoch."""
    for epoch in (0, 1, 9):
        order = balanced_order(LABELS, 4, epoch)[0]
        assert order.shape == (100,) and order.dtype == np.int64
        assert Counter(LABELS[order].tolist()) == {0: 34, 2: 33, 3: 33}


@pytest.mark.parametrize("epochs", [1, 2, 5, 20])
def test_no_picture_comes_again_before_all_of_its_class_came(epochs):
    """Over any number of epochs the counts within a class differ by at most 1."""
    picks = np.concatenate([balanced_order(LABELS, 4, epoch)[0] for epoch in range(epochs)])
    counts = np.bincount(picks, minlength=100)
    for label in (0, 2, 3):
        own = counts[label == LABELS]
        assert own.max() - own.min() <= 1


def test_a_function_of_seed_and_epoch():
    """The same for the same, others for others; and mixed well: no class fills the front of an epoch."""
    orders = [balanced_order(LABELS, seed, epoch)[0] for seed in (0, 1) for epoch in (0, 1)]
    assert np.array_equal(orders[0], balanced_order(LABELS, 0, 0)[0])
    assert all(not np.array_equal(a, b) for i, a in enumerate(orders) for b in orders[:i])
    assert set(LABELS[orders[0][:20]]) == {0, 2, 3}


def test_of_equal_classes_every_picture_comes_once():
    """Balanced sampling of a balanced set is a shuffle."""
    labels = np.arange(40) % 4
    assert sorted(balanced_order(labels, 0, 3)[0]) == list(range(40))


def test_a_loader_goes_on_in_the_middle_of_a_balanced_epoch():
    """Batches from 3 on are those of the whole epoch; without shuffling nothing is sampled."""
    images = torch.arange(100, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous()
    pictures = MemoryPictures(images, torch.from_numpy(LABELS))
    loader = Loader(pictures, batch_size=16, seed=3, sampling="balanced")
    whole, rest = list(loader.epoch(2)), list(loader.epoch(2, start=3))
    assert [b.indices.tolist() for b in whole[3:]] == [b.indices.tolist() for b in rest]
    assert np.concatenate([b.indices for b in whole]).tolist() == balanced_order(LABELS, 3, 2)[0].tolist()
    plain = Loader(pictures, batch_size=16, seed=3, shuffle=False, sampling="balanced")
    assert torch.cat([b.indices for b in plain.epoch(0)]).tolist() == list(range(100))


def test_the_second_number_is_how_often_a_picture_was_shown():
    """Over epochs, each (picture, time) comes once, and a picture's times are 0, 1, 2, ..."""
    seen = {number: [] for number in range(100)}
    for epoch in range(6):
        for number, time in zip(*balanced_order(LABELS, 4, epoch), strict=True):
            seen[number].append(int(time))
    for times in seen.values():
        assert sorted(times) == list(range(len(times)))


def later(images, indices, seed, epoch):
    """An augmentation that says in the pixels when it was called."""
    return images + torch.as_tensor(10 * epoch, dtype=torch.uint8)


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_picture_that_comes_twice_is_augmented_and_cropped_anew(in_memory):
    """Three of class 1 beside 21 of class 0: each of them comes four times an epoch, with another time each time."""

    class Crops(MemoryPictures):
        crop = True

        def crops(self, indices, seed, epoch):
            return later(self.batch(indices), indices, seed, epoch)

    Crops.in_memory = in_memory
    pictures = Crops(torch.zeros(24, 1, 2, 2, dtype=torch.uint8), torch.tensor([0] * 21 + [1] * 3))
    loader = Loader(pictures, batch_size=8, seed=0, sampling="balanced", augment=later if in_memory else None)
    shown = [(int(i), int(p)) for b in loader.epoch(0) for i, p in zip(b.indices, b.images[:, 0, 0, 0], strict=True)]
    for number in (21, 22, 23):
        assert sorted(pixel for i, pixel in shown if i == number) == [0, 10, 20, 30]
    assert {pixel for i, pixel in shown if i < 21} == {0}
