"""Corruptions: each formula by hand, strength that grows, and independence of order and batch."""

import cv2
import numpy as np
import pytest
import torch

from strop.data.load import Loader, MemoryPictures
from strop.measure.corruptions import CORRUPTIONS, STRENGTHS, corrupt, table_of
from strop.measure.corruptions.digital import _smooth
from strop.measure.corruptions.strengths import level
from strop.measure.corruptions.weather import plasma
from strop.measure.robustness import answer_changed, corruptions, flips, mean_accuracy


def pictures(n=3, channels=3, side=32, seed=0):
    """Smooth random pictures."""
    small = torch.rand(n, channels, 6, 6, generator=torch.Generator().manual_seed(seed))
    large = torch.nn.functional.interpolate(small, size=(side, side), mode="bicubic", align_corners=False)
    return (255 * large.clamp(0, 1)).to(torch.uint8).numpy()


# Elastic levels are not ordered by distance in the tables, and glass, snow and fog of 32 px differ in kind as well.
RISING = sorted(set(CORRUPTIONS) - {"elastic", "glass blur", "snow", "fog", "frost", "pixelate"})


@pytest.mark.parametrize(("side", "channels"), [(32, 1), (64, 3)])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_stronger_is_further_away(name, channels, side):
    """Each strength changes the pictures and only a copy of them; where one figure grows, so does the distance."""
    images = pictures(3, channels, side)
    before, indices = images.copy(), np.arange(3)
    made = [corrupt(name, images, indices, strength) for strength in STRENGTHS]
    assert all(part.dtype == np.uint8 and part.shape == images.shape for part in made) and (images == before).all()
    distance = [np.square(part.astype(float) - images).mean() for part in made]
    assert min(distance) > 0
    if name in RISING:
        assert distance == sorted(distance)


@pytest.mark.parametrize("side", [28, 46])
def test_every_size(side):
    """Sizes that are no power of two, just above where the tables part, too."""
    for name in CORRUPTIONS:
        assert corrupt(name, pictures(1, 3, side), np.array([4]), 5).shape == (1, 3, side, side)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_function_of_the_picture_and_its_number(name):
    """Another batch, another order: the same bytes. What is drawn differs between seeds."""
    images, indices = pictures(), np.array([7, 3, 5])
    whole = corrupt(name, images, indices, 3)
    for place in range(3):
        assert (corrupt(name, images[place : place + 1], indices[place : place + 1], 3)[0] == whole[place]).all()
    drawn = name not in ("defocus blur", "zoom blur", "brightness", "contrast", "pixelate", "jpeg")
    assert (corrupt(name, images, indices, 3, seed=1) == whole).all() != drawn


def test_chunks_do_not_show(monkeypatch):
    """Cut into single pictures, a batch comes out the same."""
    whole = corrupt("snow", pictures(), np.arange(3), 2)
    monkeypatch.setattr("strop.measure.corruptions._AT_ONCE", 1)
    assert (corrupt("snow", pictures(), np.arange(3), 2) == whole).all()


def test_levels_are_the_published_ones():
    """make_cifar_c.py, make_tinyimagenet_c.py, make_imagenet_c.py at their sides; between them lengths are scaled."""
    assert level("motion blur", 5, 32) == (9, 2.5) and level("motion blur", 5, 224) == (20, 15)
    assert level("defocus blur", 4, 64) == (2.5, 0.01) and level("jpeg", 1, 28) == 80
    assert level("motion blur", 1, 112) == (17.5, 1.75), "Tiny-ImageNet-C's 10 and 1 at 112 / 64 of its side"
    assert [table_of(side) for side in (28, 45, 46, 119, 120, 384)] == [32, 32, 64, 64, 224, 224]


def test_brightness_and_contrast_by_hand():
    """224 px: 100 / 255 + 0.3 is 176.5; (100, 50, 0) keeps its ratios; contrast 0.4 around 100 brings 200 to 140."""
    grey = np.full((1, 1, 224, 224), 100, np.uint8)
    assert abs(int(corrupt("brightness", grey, np.array([0]), 3)[0, 0, 0, 0]) - 176.5) <= 0.5
    colour = grey.repeat(3, 1) * np.array([1, 0.5, 0])[:, None, None]
    made = corrupt("brightness", colour.astype(np.uint8), np.array([0]), 3)[0, :, 0, 0].astype(int)
    assert abs(made[0] - 176.5) <= 0.5 and abs(made[1] - 88.25) <= 0.5 and made[2] == 0
    assert (corrupt("brightness", 0 * colour.astype(np.uint8), np.array([0]), 1) == 26).all(), "black becomes grey 0.1"
    two = np.array([0, 200] * (224 * 112), np.uint8).reshape(1, 1, 224, 224)
    assert sorted(set(corrupt("contrast", two, np.array([0]), 1).ravel().tolist())) == [60, 140]
    assert corrupt("brightness", grey + 150, np.array([0]), 5).max() == 255, "cut, not wrapped around"


def test_noise_has_its_spread():
    """224 px, grey 128: sd 0.08 * 255 = 20.4; of shot noise sqrt(0.502 / 60) * 255 = 23.3, mean 128; impulses 3 %."""
    grey = np.full((1, 1, 224, 224), 128, np.uint8)
    made = {name: corrupt(name, grey, np.array([0]), 1).astype(float) for name in CORRUPTIONS if "noise" in name}
    assert made["gaussian noise"].std() == pytest.approx(20.4, rel=0.03)
    assert made["shot noise"].std() == pytest.approx(23.3, rel=0.03)
    assert made["shot noise"].mean() == pytest.approx(128, abs=0.5)
    assert corrupt("shot noise", 0 * grey, np.array([0]), 5).max() == 0, "no light, no photons"
    black, white = (made["impulse noise"] == 0).mean(), (made["impulse noise"] == 255).mean()
    assert black == pytest.approx(0.015, abs=0.003) and white == pytest.approx(0.015, abs=0.003)


def test_blurs_keep_an_even_picture():
    """Weights sum to 1, and what is moved is taken from the picture: even grey stays."""
    grey = np.full((1, 3, 40, 40), 90, np.uint8)
    for name in ("defocus blur", "glass blur", "motion blur", "zoom blur", "elastic", "pixelate"):
        assert np.abs(corrupt(name, grey, np.array([0]), 5).astype(int) - 90).max() <= 1, name


def test_plasma_fills_its_range_and_smooths_with_decay():
    """0 to 1 in each picture; neighbours differ less where the noise decays faster."""
    noise = 2 * np.random.default_rng(0).random((2, 32, 32)) - 1
    rough, smooth = plasma(noise, 1.2), plasma(noise, 3)
    assert (rough.min((1, 2)) == 0).all() and (rough.max((1, 2)) == 1).all()
    assert np.abs(np.diff(smooth)).mean() < 0.5 * np.abs(np.diff(rough)).mean()


def test_coarse_smoothing_is_smoothing():
    """Noise blurred with sd 20 on a coarse grid and in full: nearly the same field."""
    noise = np.random.default_rng(0).uniform(-1, 1, (128, 128)).astype(np.float32)
    full = cv2.GaussianBlur(noise, (121, 121), 20, borderType=cv2.BORDER_REFLECT)
    assert np.abs(_smooth(noise, 20) - full).max() < 0.2 * np.abs(full).max()


def test_pixelate_makes_blocks():
    """Strength 5 of 64 pixels: 0.5, so 32 different rows and columns at most."""
    made = corrupt("pixelate", pictures(1, 1, 64), np.array([0]), 5)[0, 0]
    assert len({row.tobytes() for row in made}) <= 32 and len({row.tobytes() for row in made.T}) <= 32


def loader(images, targets):
    return Loader(MemoryPictures(images, targets), batch_size=4, seed=0, shuffle=False)


def test_answers_to_changed_pictures():
    """A network that says whether the left half is brighter: mirrored it is always wrong, upside down always right."""
    images = torch.zeros(10, 1, 8, 8, dtype=torch.uint8)
    targets = torch.arange(10) % 2
    images[targets == 1, :, :, :4] = 200
    images[targets == 0, :, :, 4:] = 200

    def predict(x):
        left, right = x[..., :4].float().mean((1, 2, 3)), x[..., 4:].float().mean((1, 2, 3))
        return torch.stack([right, left], 1)

    found = answer_changed(predict, loader(images, targets), flips())
    assert {name: row["accuracy"] for name, row in found.items()} == {
        None: 1,
        "horizontal": 0,
        "vertical": 1,
        "both": 0,
    }
    assert found["horizontal"]["agreement"] == 0.0 and found["vertical"]["agreement"] == 1.0
    assert found[None]["accuracy_interval"][0] > 0.6


def test_all_corruptions_in_one_pass():
    """75 changes of each batch; a network that looks at nothing is right as often whatever is done."""
    images = torch.from_numpy(pictures(6, 1, 12))
    found = answer_changed(
        lambda x: torch.tensor([[1.0, 0.0]]).expand(len(x), 2), loader(images, torch.arange(6) % 2), corruptions()
    )
    assert len(found) == 1 + 15 * 5 and {row["accuracy"] for row in found.values()} == {0.5}
    assert mean_accuracy([row for name, row in found.items() if name]) == 0.5
