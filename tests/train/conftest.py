"""A tiny classifier with dropout and batch norm, and a loader that augments."""

import pytest
import torch
from torch import nn

from strop.augment import compose
from strop.data.load import Loader, MemoryPictures
from strop.models.classifier import Classifier, Preprocess
from strop.train.losses import losses
from strop.train.objective import Supervised


@pytest.fixture
def make_objective():
    """The same tiny network each time it is called."""

    def make(dropout=0.3, smoothing=0.1):
        torch.manual_seed(7)
        net = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(),
            nn.Dropout(dropout), nn.Linear(24, 3),
        )  # fmt: skip
        model = Classifier(net, Preprocess(8, 1, (0.4,), (0.3,)), ("a", "b", "c"))
        return Supervised(model, losses.get("cross-entropy")(smoothing=smoothing))

    return make


@pytest.fixture
def make_loader():
    """22 pictures of 8 x 8 in batches of 8: the last batch of an epoch has 6."""

    def make(augment=("hflip", "crop"), batch_size=8, n=22):
        generator = torch.Generator().manual_seed(3)
        images = torch.randint(0, 256, (n, 1, 8, 8), dtype=torch.uint8, generator=generator)
        parts = compose([(name, {}) for name in augment])
        return Loader(MemoryPictures(images, torch.arange(n) % 3), batch_size=batch_size, seed=5, augment=parts)

    return make
