"""Batches: whole, reproducible from any point, alike from memory and from files."""

import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from strop.augment import compose
from strop.data.dataset import open_data
from strop.data.geometry import fit_square
from strop.data.load import FilePictures, Loader, MemoryPictures, pictures
from strop.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("set")
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir()
        for i in range(9):
            size = (int(random.integers(10, 40)), int(random.integers(10, 40)), 3)
            Image.fromarray(random.integers(0, 256, size, dtype=np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def train(folder):
    return pictures(open_data(str(folder), validation="0%"), "train", size=16, channels=3)


def numbered(n: int) -> MemoryPictures:
    """Pictures of one pixel that shows their number."""
    numbers = torch.arange(n)
    return MemoryPictures(numbers.to(torch.uint8).view(n, 1, 1, 1).expand(n, 1, 8, 8).contiguous(), numbers % 3)


def test_memory_and_files_give_the_same_pixels(folder):
    data = open_data(str(folder), validation="0%")
    memory = pictures(data, "train", size=16, channels=1)
    files = pictures(data, "train", size=16, channels=1, source="stream")
    assert isinstance(memory, MemoryPictures) and isinstance(files, FilePictures)
    indices = torch.tensor([5, 17, 0, 5])
    assert torch.equal(memory.batch(indices), files.batch(indices))
    assert torch.equal(memory.labels, files.labels) and len(memory) == len(files) == 18


def test_a_batch_is_what_fit_square_makes_of_each_picture(folder, train):
    data = open_data(str(folder), validation="0%")
    batch = train.batch(torch.tensor([3, 11]))
    for row, i in zip(batch, [3, 11], strict=True):
        assert np.array_equal(row.numpy(), fit_square(data.pixels("train", i), 16, 3))


def test_an_epoch_shows_every_picture_once_with_its_label():
    for n, size in [(10, 3), (12, 4), (7, 100), (1, 4), (5, 1)]:
        batches = list(Loader(numbered(n), batch_size=size, seed=0).epoch(0))
        indices = torch.cat([batch.indices for batch in batches])
        assert sorted(indices.tolist()) == list(range(n))
        assert torch.equal(torch.cat([batch.images for batch in batches])[:, 0, 0, 0].long(), indices)
        assert torch.equal(torch.cat([batch.targets for batch in batches]), indices % 3)
        assert len(Loader(numbered(n), batch_size=size, seed=0)) == len(batches)


def test_a_last_batch_of_one_joins_the_one_before_when_training():
    def sizes(**options):
        return [len(batch.targets) for batch in Loader(numbered(9), batch_size=4, seed=0, **options).epoch(0)]

    assert sizes() == [4, 5]
    assert sizes(shuffle=False) == [4, 4, 1]
    assert sizes(drop_last=True) == [4, 4]


def test_epochs_and_seeds_order_differently_but_repeatably():
    def order(seed, epoch):
        return torch.cat([b.indices for b in Loader(numbered(50), batch_size=8, seed=seed).epoch(epoch)]).tolist()

    assert order(0, 1) == order(0, 1)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


def test_starting_in_the_middle_gives_the_same_batches():
    """A resumed run must see what the uninterrupted one would have seen, bit for bit."""
    augment = compose([("hflip", {}), ("crop", {}), ("erase", {})])
    data = open_data("fashion-mini", validation="10%")
    loader = Loader(pictures(data, "val", size=28, channels=1), batch_size=64, seed=4, augment=augment)
    whole = list(loader.epoch(2))
    for start in (0, 3, len(loader)):
        rest = list(loader.epoch(2, start))
        assert len(rest) == len(whole) - start
        for a, b in zip(rest, whole[start:], strict=True):
            assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_augmentation_of_a_picture_does_not_depend_on_the_batch_size():
    augment = compose([("crop", {"pixels": 3}), ("hflip", {})])
    data = open_data("fashion-mini", validation="2%")
    val = pictures(data, "val", size=28, channels=1)

    def by_number(batch_size):
        batches = Loader(val, batch_size=batch_size, seed=0, augment=augment).epoch(5)
        return {int(i): image for batch in batches for i, image in zip(batch.indices, batch.images, strict=True)}

    small, large = by_number(7), by_number(64)
    assert all(torch.equal(small[i], large[i]) for i in small)


def test_without_shuffle_order_and_pixels_stay():
    loader = Loader(numbered(10), batch_size=4, seed=0, augment=lambda *_: pytest.fail("augmented"), shuffle=False)
    assert torch.cat([batch.indices for batch in loader.epoch(3)]).tolist() == list(range(10))


class Slow(MemoryPictures):
    """Pictures that take more than copying, so that a thread makes them."""

    in_memory = False

    def __init__(self, n: int):
        super().__init__(torch.zeros(n, 1, 8, 8, dtype=torch.uint8), torch.zeros(n, dtype=torch.int64))
        self.made = []

    def batch(self, indices):
        self.made.append(len(indices))
        return super().batch(indices)


def test_one_batch_is_prepared_ahead_and_no_more():
    slow = Slow(40)
    made, batches = slow.made, Loader(slow, batch_size=4, seed=0).epoch(0)
    next(batches)
    deadline = time.monotonic() + 5
    while len(made) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(made) == 2
    batches.close()


def test_closing_ends_the_thread():
    def threads():
        return [thread for thread in threading.enumerate() if thread.name.startswith("loader")]

    batches = Loader(Slow(40), batch_size=4, seed=0).epoch(0)
    next(batches)
    assert len(threads()) == 1
    batches.close()
    assert not threads()


def test_errors_of_the_thread_arrive_where_the_batch_is_asked_for(folder):
    data = open_data(str(folder), validation="0%")
    files = pictures(data, "train", size=16, channels=3, source="stream")
    path = folder / "cat" / "4.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:60])
    try:
        with pytest.raises(UserError, match="4.png: can't be decoded"):
            list(Loader(files, batch_size=4, seed=0).epoch(0))
        with pytest.raises(UserError, match="4.png: can't be decoded"):
            pictures(data, "train", size=16, channels=3)
    finally:
        path.write_bytes(whole)


def test_a_split_without_pictures_says_how_to_get_some(folder):
    data = open_data(str(folder), validation="0%")
    with pytest.raises(UserError, match="no val pictures. Write validation: 5%"):
        pictures(data, "val", size=16, channels=3)
    with pytest.raises(UserError, match="no test pictures. Add a test/ folder"):
        pictures(data, "test", size=16, channels=3)


def test_batch_sizes_that_can_not_be_are_refused():
    with pytest.raises(UserError, match="0 is too small"):
        Loader(numbered(4), batch_size=0, seed=0)
    with pytest.raises(UserError, match="5 is more than the 4 pictures"):
        Loader(numbered(4), batch_size=5, seed=0, drop_last=True)
