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
        order = balanced_order(LABELS, 4, epoch)
        assert order.shape == (100,) and order.dtype == np.int64
        assert Counter(LABELS[order].tolist()) == {0: 34, 2: 33, 3: 33}


@pytest.mark.parametrize("epochs", [1, 2, 5, 20])
def test_no_picture_comes_again_before_all_of_its_class_came(epochs):
    """Over any number of epochs the counts within a class differ by at most 1."""
    picks = np.concatenate([balanced_order(LABELS, 4, epoch) for epoch in range(epochs)])
    counts = np.bincount(picks, minlength=100)
    for label in (0, 2, 3):
        own = counts[label == LABELS]
        assert own.max() - own.min() <= 1


def test_a_function_of_seed_and_epoch():
    """The same for the same, others for others; and mixed well: no class fills the front of an epoch."""
    orders = [balanced_order(LABELS, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert np.array_equal(orders[0], balanced_order(LABELS, 0, 0))
    assert all(not np.array_equal(a, b) for i, a in enumerate(orders) for b in orders[:i])
    assert set(LABELS[orders[0][:20]]) == {0, 2, 3}


def test_of_equal_classes_every_picture_comes_once():
    """Balanced sampling of a balanced set is a shuffle."""
    labels = np.arange(40) % 4
    assert sorted(balanced_order(labels, 0, 3)) == list(range(40))


def test_a_loader_goes_on_in_the_middle_of_a_balanced_epoch():
    """Batches from 3 on are those of the whole epoch; without shuffling nothing is sampled."""
    images = torch.arange(100, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous()
    pictures = MemoryPictures(images, torch.from_numpy(LABELS))
    loader = Loader(pictures, batch_size=16, seed=3, sampling="balanced")
    whole, rest = list(loader.epoch(2)), list(loader.epoch(2, start=3))
    assert [b.indices.tolist() for b in whole[3:]] == [b.indices.tolist() for b in rest]
    assert np.concatenate([b.indices for b in whole]).tolist() == balanced_order(LABELS, 3, 2).tolist()
    plain = Loader(pictures, batch_size=16, seed=3, shuffle=False, sampling="balanced")
    assert torch.cat([b.indices for b in plain.epoch(0)]).tolist() == list(range(100))
