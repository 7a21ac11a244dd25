"""Corruptions: each formula by hand, strength that grows, and independence of order and batch."""

import numpy as np
import pytest
import torch

from strop.data.load import Loader, MemoryPictures
from strop.measure.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from strop.measure.robustness import answer_changed, corruptions, flips, mean_accuracy


def pictures(n=3, channels=3, side=32, seed=0):
    """Smooth random pictures."""
    small = torch.rand(n, channels, 6, 6, generator=torch.Generator().manual_seed(seed))
    large = torch.nn.functional.interpolate(small, size=(side, side), mode="bicubic", align_corners=False)
    return (255 * large.clamp(0, 1)).to(torch.uint8).numpy()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_stronger_is_further_away(name, channels):
    """The distance to the picture grows from strength 1 to 5 (of blocks, whose size is whole, from first to last)."""
    images = np.random.default_rng(0).integers(0, 256, (3, channels, 64, 64), dtype=np.uint8)
    before, indices = images.copy(), np.arange(3)
    made = [corrupt(name, images, indices, strength) for strength in STRENGTHS]
    assert all(part.dtype == np.uint8 and part.shape == images.shape for part in made) and (images == before).all()
    distance = [np.square(part.astype(float) - images).mean() for part in made]
    shown = distance if name != "pixelate" else distance[:: len(distance) - 1]
    assert shown == sorted(shown) and 0 < distance[0] < distance[-1]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_function_of_the_picture_and_its_number(name):
    """Another batch, another order: the same bytes. Noise differs between pictures, seeds and kinds."""
    images, indices = pictures(), np.array([7, 3, 5])
    whole = corrupt(name, images, indices, 3)
    for place in range(3):
        assert (corrupt(name, images[place : place + 1], indices[place : place + 1], 3)[0] == whole[place]).all()
    other = corrupt(name, images, indices, 3, seed=1)
    assert (other == whole).all() == ("noise" not in name)


def test_brightness_and_contrast_by_hand():
    """100 / 255 + 0.3 is 176.5; around a mean of 100, contrast 0.4 brings 200 to 140 and 0 to 60."""
    grey = np.full((1, 1, 4, 4), 100, np.uint8)
    assert abs(int(corrupt("brightness", grey, np.array([0]), 3)[0, 0, 0, 0]) - 176.5) <= 0.5
    two = np.array([0, 200] * 8, np.uint8).reshape(1, 1, 4, 4)
    assert sorted(set(corrupt("contrast", two, np.array([0]), 1).ravel().tolist())) == [60, 140]
    assert corrupt("brightness", grey + 150, np.array([0]), 5).max() == 255, "cut, not wrapped around"


def test_noise_has_its_spread():
    """Grey 128, 40,000 pixels: sd 0.08 * 255 = 20.4; of shot noise sqrt(0.502 / 60) * 255 = 23.3; impulses 3 %."""
    grey = np.full((1, 1, 200, 200), 128, np.uint8)
    made = {name: corrupt(name, grey, np.array([0]), 1).astype(float) for name in CORRUPTIONS if "noise" in name}
    assert made["gaussian noise"].std() == pytest.approx(20.4, rel=0.03)
    assert made["shot noise"].std() == pytest.approx(23.3, rel=0.03)
    black, white = (made["impulse noise"] == 0).mean(), (made["impulse noise"] == 255).mean()
    assert black == pytest.approx(0.015, abs=0.003) and white == pytest.approx(0.015, abs=0.003)


def test_pixelate_makes_blocks():
    """Strength 3 of 40 pixels: 16 blocks a side, so at most 16 different rows and columns."""
    made = corrupt("pixelate", pictures(1, 1, 40), np.array([0]), 3)[0, 0]
    assert len({row.tobytes() for row in made}) <= 16 and len({row.tobytes() for row in made.T}) <= 16


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
    """Forty changes of each batch; a network that looks at nothing is right as often whatever is done."""
    images = torch.from_numpy(pictures(6, 1, 12))
    found = answer_changed(
        lambda x: torch.tensor([[1.0, 0.0]]).expand(len(x), 2), loader(images, torch.arange(6) % 2), corruptions()
    )
    assert len(found) == 1 + 8 * 5 and {row["accuracy"] for row in found.values()} == {0.5}
    assert mean_accuracy([row for name, row in found.items() if name]) == 0.5
