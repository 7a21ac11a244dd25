"""Memory, cache and stream: the same pictures, the same crops, chosen by what fits."""

import logging
import os

import numpy as np
import pytest
import torch
from PIL import Image

from strop.data import stores
from strop.data.dataset import open_data
from strop.data.geometry import RandomCrop, fit_square
from strop.data.load import FilePictures, Loader, MemoryPictures, pictures
from strop.data.picture import read_pixels
from strop.data.stores import CachedSquares, PackedPictures
from strop.data.stream import scale_down
from strop.errors import UserError

SOURCES = ("memory", "cache", "stream")
CROP = RandomCrop(scale=(0.3, 1.0), flip=0.5)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pictures"


def photo(height: int, width: int, seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """JPEGs upright and turned, PNGs, a grey one, large and small ones."""
    root = tmp_path_factory.mktemp("photos")
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("cat", "dog"):
        (root / name).mkdir()
        for i, (height, width) in enumerate([(90, 120), (130, 70), (400, 300), (20, 33), (64, 64)]):
            picture = photo(height, width, i + 10 * (name == "dog"))
            picture.save(root / name / f"{i}.jpg", quality=95)
            picture.save(root / name / f"turned{i}.jpg", quality=95, exif=exif)
            picture.save(root / name / f"{i}.png")
    photo(50, 60, 99).convert("L").save(root / "cat" / "grey.jpg", quality=95)
    return root


@pytest.fixture(scope="module")
def data(folder):
    return open_data(str(folder), validation="0%")


def epoch(made, batch_size=7, number=0, seed=0):
    """The crops of an epoch by the pictures' numbers."""
    batches = Loader(made, batch_size=batch_size, seed=seed).epoch(number)
    images = {int(i): image for batch in batches for i, image in zip(batch.indices, batch.images, strict=True)}
    return torch.stack([images[i] for i in range(len(made))])


def psnr(a, b) -> float:
    return float(10 * torch.log10(255**2 / (a.float() - b.float()).square().mean()))


@pytest.mark.parametrize("channels", [1, 3])
def test_without_a_crop_all_sources_give_the_same_pixels(data, channels):
    made = {source: pictures(data, "train", size=24, channels=channels, source=source) for source in SOURCES}
    assert [made[source].kind for source in SOURCES] == [*SOURCES]
    assert isinstance(made["cache"], CachedSquares)
    numbers = torch.tensor([30, 0, 7, 7])
    expected = np.stack([fit_square(data.pixels("train", i), 24, channels) for i in numbers.tolist()])
    for one in made.values():
        assert torch.equal(one.batch(numbers), torch.from_numpy(expected))
    with pytest.raises(IndexError):
        made["cache"].batch(torch.tensor([31]))


@pytest.mark.parametrize("channels", [1, 3])
def test_with_a_crop_all_sources_cut_the_same_boxes(data, channels):
    """Memory and cache give equal pixels; streaming has more detail, and boxes rounded to finer pixels."""
    crops = {s: epoch(pictures(data, "train", size=32, channels=channels, source=s, crop=CROP)) for s in SOURCES}
    assert torch.equal(crops["memory"], crops["cache"])
    near = [psnr(a, b) for a, b in zip(crops["memory"], crops["stream"], strict=True)]
    others = [psnr(a, b) for a, b in zip(crops["memory"], crops["stream"].roll(1, 0), strict=True)]
    assert min(near) > 24 > max(others)


@pytest.mark.parametrize("source", SOURCES)
def test_a_crop_depends_on_seed_epoch_and_picture_alone(data, source, monkeypatch):
    """Not on the batch it is in, nor on the number of threads."""
    made = pictures(data, "train", size=32, channels=3, source=source, crop=CROP)
    expected = epoch(made)
    monkeypatch.setattr(stores, "_WORTH_THREADS", 0)
    for cores in (1, 3):
        monkeypatch.setattr(stores.os, "sched_getaffinity", lambda pid, cores=cores: set(range(cores)))
        assert torch.equal(epoch(made, batch_size=31), expected)
    assert not torch.equal(epoch(made, number=1), expected)
    assert not torch.equal(epoch(made, seed=1), expected)


def test_a_streamed_crop_is_the_box_of_the_upright_picture(folder, data):
    """The whole picture as the box, squeezed to a square: what Pillow's resizing of it gives, nearly."""
    made = pictures(data, "train", size=40, channels=3, source="stream", crop=RandomCrop((1, 1), (0.01, 100)))
    for i, name in enumerate(data.names("train")):
        pixels = read_pixels(folder / name)
        [(box, _)] = made.crop.place(made.crop.draw(0, 0, np.array([i])), [pixels.shape[:2]])
        cut = np.repeat(box.cut(pixels), 3 // pixels.shape[2], axis=2)
        expected = np.asarray(Image.fromarray(cut).resize((40, 40), Image.Resampling.BILINEAR))
        got = made.crops(torch.tensor([i]), 0, 0)[0].permute(1, 2, 0)
        assert psnr(got, torch.tensor(expected)) > 26, name


def test_without_shuffling_nothing_is_cropped(data):
    made = pictures(data, "train", size=24, channels=3, source="stream", crop=CROP)
    plain = pictures(data, "train", size=24, channels=3, source="memory")
    batch = next(Loader(made, batch_size=5, seed=0, shuffle=False).epoch(0))
    assert torch.equal(batch.images, plain.batch(torch.arange(5)))


def test_crops_need_a_crop(data):
    for source in SOURCES:
        with pytest.raises(UserError, match="opened without one"):
            pictures(data, "train", size=24, channels=3, source=source).crops(torch.tensor([0]), 0, 0)


def test_what_fits_decides(data, cache):
    """31 pictures of 16 x 16 grey: to the byte."""
    size = 31 * 16 * 16

    def chosen(split="train", **options):
        return type(pictures(data, split, size=16, channels=1, **options))

    assert chosen() is MemoryPictures
    assert chosen(memory_limit_bytes=size) is MemoryPictures
    assert chosen(memory_limit_bytes=size - 1) is CachedSquares
    assert chosen(memory_limit_bytes=0, cache_gb=(size - 1) / 1e9) is FilePictures
    assert chosen(memory_limit_bytes=0, source="memory") is MemoryPictures
    assert chosen(source="stream") is FilePictures
    assert chosen(memory_limit_bytes=0, crop=CROP) is PackedPictures
    with pytest.raises(UserError, match="Did you mean 'stream'"):
        chosen(source="streams")


def test_the_test_split_is_not_worth_a_cache(tmp_path, cache):
    for split in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            photo(20, 20, ord(name) + len(split)).save(tmp_path / "set" / split / name / "1.png")
    data = open_data(str(tmp_path / "set"), validation="0%")
    assert pictures(data, "train", size=8, channels=3, memory_limit_bytes=0).kind == "cache"
    assert pictures(data, "test", size=8, channels=3, memory_limit_bytes=0).kind == "stream"


def test_the_cache_is_found_again_by_what_its_pixels_depend_on(data, cache, monkeypatch):
    def files(**options):
        pictures(data, "train", channels=3, source="cache", **{"size": 16, **options})
        return len(list(cache.iterdir()))

    assert files() == 1
    with monkeypatch.context() as patch:
        patch.setattr(FilePictures, "_chunk", lambda self, start: pytest.fail("decoded again"))
        assert files() == 1
    assert [files(size=17), files(crop=CROP), files(crop=RandomCrop())] == [2, 3, 3]


@pytest.mark.parametrize("trouble", ["limit", "a file in the way"])
def test_where_no_cache_can_be_written_one_warning_is_given(data, cache, trouble, caplog):
    if trouble != "limit":
        cache.parent.mkdir()
        cache.write_text("not a folder")
    with caplog.at_level(logging.WARNING, "strop"):
        made = pictures(data, "train", size=16, channels=3, source="cache", cache_gb=1e-9 if trouble == "limit" else 1)
    assert made.kind == "stream" and len(made.batch(torch.arange(3))) == 3
    assert len(caplog.records) == 1 and "decoding in every epoch" in caplog.text
    assert cache.read_text() == "not a folder" if trouble != "limit" else not os.listdir(cache)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("crop", [None, CROP])
def test_broken_pictures_are_named_by_every_source(tmp_path, source, crop, cache):
    root = tmp_path / "set"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for i in range(4):
            photo(60, 50, i + ord(name)).save(root / name / f"{i}.jpg", quality=95)
    for name in ("a/1.jpg", "b/2.jpg"):
        (root / name).write_bytes((root / name).read_bytes()[:900])
    data = open_data(str(root), validation="0%", max_unreadable=None)
    with pytest.raises(UserError) as caught:
        made = pictures(data, "train", size=16, channels=3, source=source, crop=crop)
        list(Loader(made, batch_size=8, seed=0).epoch(0))
    assert len(caught.value.problems) == 2 and "1.jpg: can't be decoded" in str(caught.value)
    assert not cache.exists() or not os.listdir(cache)


def test_a_stored_picture_keeps_its_shape_and_is_bounded():
    assert scale_down((375, 500), 256) == (256, 341)
    assert scale_down((500, 375), 256) == (341, 256)
    assert scale_down((28, 28), 32) == (28, 28)
    for shape in [(10_000, 300), (20, 2_000_000), (1, 50_000_000)]:
        height, width = scale_down(shape, 64)
        assert 1 <= height * width <= 4 * 64**2 * 1.02
