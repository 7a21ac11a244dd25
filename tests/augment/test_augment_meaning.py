"""What the regional, noise and policy augmentations do to pixels."""

import math

import pytest
import torch

from strop.augment import augmentations, compose
from strop.augment.boxes import cut_boxes, place_boxes, write_boxes
from strop.augment.hashing import bell_curve, hash_pixels, mix, seeds
from strop.augment.noise import add_noise, count_photons, multiply_noise, sprinkle
from strop.augment.policy import OPERATIONS, apply_in_place
from strop.augment.regional_blur import gaussian_rows
from strop.augment.resized_crop import resized_crop


def noise(b=6, c=3, h=16, w=16, seed=0):
    return torch.randint(0, 256, (b, c, h, w), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def rows(*values):
    """A chance whose only call gives these numbers, one row a picture."""
    return lambda n: torch.tensor(values)[:, :n]


def full(value, size=64, b=4):
    return torch.full((b, 1, size, size), value, dtype=torch.uint8)


SEEDS = torch.tensor([3, -77, 123456789, -(2**31)], dtype=torch.int32)


def test_vflip_twice_is_the_identity():
    vflip, images = augmentations.get("vflip"), noise()
    once = vflip(images, lambda n: torch.zeros(6, n))
    assert torch.equal(once[:, :, 0], images[:, :, -1])
    assert torch.equal(vflip(once, lambda n: torch.zeros(6, n)), images)


def test_boxes_are_cut_and_written_at_the_place_that_chance_says():
    """u = 0 is the upper left corner, u -> 1 the lower right one; writing back what was cut changes nothing."""
    images = noise(2, 3, 10, 14)
    places = place_boxes(torch.tensor([[0.0, 0.0], [0.999, 0.999]]), images, 4)
    boxes = cut_boxes(images, places)
    assert torch.equal(boxes[0], images[0, :, :4, :4]) and torch.equal(boxes[1], images[1, :, 6:, 10:])
    assert torch.equal(write_boxes(images, places, boxes), images)


def test_regional_flip_mirrors_one_square_and_nothing_else():
    """Half of 16 is 8 pixels; the third number chooses the direction; twice is the identity."""
    images, flip = noise(2), augmentations.get("regional-flip")
    chance = rows([0.0, 0.0, 0.1, 0.0], [0.0, 0.0, 0.9, 0.0])
    flipped = flip(images, chance)
    expected = images.clone()
    expected[0, :, :8, :8] = images[0, :, :8, :8].flip(1)
    expected[1, :, :8, :8] = images[1, :, :8, :8].flip(2)
    assert torch.equal(flipped, expected)
    assert torch.equal(flip(flipped, chance), images)


def test_mosaic_tiles_are_the_means_of_what_they_cover():
    """side 0.75 of 16 is 12 pixels, 3 cells are 4 x 4 pixels each; the total of a tile stays, within rounding."""
    images = noise(1)
    made = augmentations.get("mosaic")(images, rows([0.0, 0.0, 0.0]), side=0.75, cells=3)
    assert torch.equal(made[:, :, 12:], images[:, :, 12:]) and torch.equal(made[..., 12:], images[..., 12:])
    for top in (0, 4, 8):
        for left in (0, 4, 8):
            tile = images[0, :, top : top + 4, left : left + 4]
            mean = (tile.double().mean((1, 2)) + 0.5).floor().byte()
            assert torch.equal(made[0, :, top : top + 4, left : left + 4], mean[:, None, None].expand(3, 4, 4))


def test_regional_blur_only_touches_its_square_and_flattens_it():
    """The spread inside falls to less than half of it; outside no pixel changes."""
    images = noise(1, 3, 32, 32)
    made = augmentations.get("regional-blur")(images, rows([0.0, 0.0, 0.999, 0.0]), side=0.5, strength=1.0)
    assert torch.equal(made[:, :, 16:], images[:, :, 16:]) and torch.equal(made[..., 16:], images[..., 16:])
    assert made[..., :16, :16].float().std() < images[..., :16, :16].float().std() / 2


def test_gaussian_rows_sum_to_4096_and_are_mirror_images():
    """Whole numbers, so sums of bytes times them stay below 2**24 and are exact in float32 in any order."""
    weights = gaussian_rows(9, torch.tensor([0.0, 0.7, 5.0]))
    assert torch.equal(weights.sum(2), torch.full((3, 9), 4096.0))
    assert torch.equal(weights, weights.round())
    assert torch.equal(weights, weights.flip(1, 2))
    assert torch.equal(weights[0], 4096 * torch.eye(9))
    ratio = weights[1, 4, 5] / weights[1, 4, 4]
    assert abs(float(ratio) - math.exp(-1 / (2 * 0.7**2))) < 1e-3


def test_mix_is_the_published_hash():
    """lowbias32, computed with Python's integers modulo 2**32."""

    def expected(x):
        x = (x ^ x >> 16) * 0x7FEB352D % 2**32
        x = (x ^ x >> 15) * 0x846CA68B % 2**32
        return x ^ x >> 16

    numbers = [0, 1, 2, 12345, 2**31 - 1, 2**31, 2**32 - 1]
    signed = torch.tensor([n - 2**32 if n >= 2**31 else n for n in numbers], dtype=torch.int32)
    assert [int(n) % 2**32 for n in mix(signed)] == [expected(n) for n in numbers]


def test_seeds_are_32_bits_of_two_uniforms():
    u = torch.tensor([[0.0, 0.0], [1 - 2**-24, 1 - 2**-24], [0.5, 0.5]])
    assert seeds(u).tolist() == [-(2**31), 2**31 - 1, 128]


def test_pixel_hashes_of_two_seeds_are_unrelated():
    """Correlation between pictures, and between neighbours, below 5 / sqrt(n) for n = 65,536 pixels."""
    curve = bell_curve(hash_pixels(torch.tensor([0, 1], dtype=torch.int32), 1 << 16)).double()
    limit = 5 / 2**8
    assert abs(torch.corrcoef(curve)[0, 1]) < limit
    assert abs(torch.corrcoef(torch.stack([curve[0, 1:], curve[0, :-1]]))[0, 1]) < limit


def test_bell_curve_has_mean_0_and_variance_1():
    """The sum of four even bytes: kurtosis 3 - 1.2 / 4 = 2.7 against 3 of the normal; n = 2**20."""
    curve = bell_curve(hash_pixels(torch.tensor([9], dtype=torch.int32), 1 << 20)).double()
    assert abs(curve.mean()) < 5 / 2**10
    assert abs(curve.var() - 1) < 0.01
    assert abs((curve**4).mean() - 2.7) < 0.03
    assert curve.abs().max() < 3.46


@pytest.mark.parametrize(
    "function, value, expected",
    [(add_noise, 128, 25.5), (multiply_noise, 128, 12.8), (count_photons, 64, 25.5 * (64 / 255) ** 0.5)],
)
def test_noise_has_the_deviation_that_its_formula_says(function, value, expected):
    """At deviation 0.1: 25.5 levels; 12.8 of 128; and for photons 25.5 at white, by the root of the brightness."""
    images = full(value)
    noisy = function(images, torch.full((4,), 0.1), SEEDS).double()
    assert abs(noisy.std() - expected) < 0.03 * expected
    assert abs(noisy.mean() - value) < 5 * expected / noisy.numel() ** 0.5


def test_photons_leave_black_black():
    assert torch.equal(count_photons(full(0), torch.full((4,), 0.2), SEEDS), full(0).float())


def test_salt_pepper_hits_its_share_half_white_half_black_in_all_channels():
    """10 % of 16,384 grey pixels within five standard errors."""
    images = torch.full((4, 3, 64, 64), 100, dtype=torch.uint8)
    made = sprinkle(images, torch.full((4,), 0.1), SEEDS)
    assert torch.equal(made[:, 0], made[:, 1]) and torch.equal(made[:, 0], made[:, 2])
    white, black = ((made[:, 0] == value).double().mean() for value in (255, 0))
    error = (0.1 * 0.9 / 16384) ** 0.5
    assert abs(white + black - 0.1) < 5 * error and abs(white - black) < 5 * error
    assert set(made.unique().tolist()) == {0, 100, 255}


def test_noise_differs_between_pictures_and_epochs():
    images, numbers = full(128, 16, 2), torch.arange(2)
    augment = compose([("gaussian-noise", {"p": 1.0})])
    first, second = augment(images, numbers, 0, 0), augment(images, numbers, 0, 1)
    assert not torch.equal(first[0], first[1]) and not torch.equal(first, second)


def test_resized_crop_draws_boxes_inside_the_picture_with_the_areas_it_says():
    """Areas are even from 0.25 to 1 (mean 0.625); shapes stay within 3/4 to 4/3, and no box leaves the picture.

    A picture whose channels are its own coordinates tells which places were looked at.
    """
    size, b = 64, 1000
    ramp = (torch.arange(size) * 4).byte()
    images = torch.stack([ramp.expand(size, size), ramp[:, None].expand(size, size)]).expand(b, 2, size, size)
    numbers = torch.rand(b, 5, generator=torch.Generator().manual_seed(2))
    made = resized_crop(images.contiguous(), lambda n: numbers[:, :n]).float()
    width = (made[:, 0, 0, -2] - made[:, 0, 0, 1]) / 4 / (size - 3)
    height = (made[:, 1, -2, 0] - made[:, 1, 1, 0]) / 4 / (size - 3)
    area, shape = width * height, width / height
    assert area.min() > 0.23 and area.max() < 1.02 and abs(area.mean() - 0.625) < 0.04
    assert shape.min() > 0.72 and shape.max() < 1.38
    assert abs(shape.log().mean()) < 0.03


@pytest.mark.parametrize("name", OPERATIONS)
def test_magnitude_0_changes_nothing_and_1_does(name):
    images = noise(5, 3, 24, 24)
    everyone = torch.arange(5)
    u = torch.full((5,), (list(OPERATIONS).index(name) + 0.5) / len(OPERATIONS))
    for magnitude in (0.0, 1.0):
        made = images.clone()
        apply_in_place(made, everyone, u, torch.full((5,), magnitude))
        assert torch.equal(made, images) == (magnitude == 0 or name == "identity")


def test_trivial_augment_uses_every_operation_as_often_and_each_picture_once(monkeypatch):
    """2,800 pictures, 14 operations: 200 each, within five standard errors; magnitudes even over -1 to 1."""
    seen = {}

    def record(name):
        def operation(images, magnitudes):
            seen.setdefault(name, []).append(magnitudes)
            return images

        return operation

    for name in OPERATIONS:
        monkeypatch.setitem(OPERATIONS, name, record(name))
    compose([("trivial-augment", {})])(noise(2800, 1, 4, 4), torch.arange(2800), 0, 0)
    counts = [sum(map(len, magnitudes)) for magnitudes in seen.values()]
    assert sum(counts) == 2800 and len(counts) == 14
    assert all(abs(count - 200) < 5 * (200 * 13 / 14) ** 0.5 for count in counts)
    magnitudes = torch.cat([part for parts in seen.values() for part in parts])
    assert abs(magnitudes.mean()) < 5 * 3**-0.5 / 2800**0.5 and abs(magnitudes.abs().mean() - 0.5) < 0.03
    assert magnitudes.min() < -0.99 and magnitudes.max() > 0.99


def test_rand_augment_of_one_operation_is_that_operation():
    """The numbers choose sharpness and the positive direction: the same as that function at its magnitude."""
    images = noise(1)
    place = (list(OPERATIONS).index("sharpness") + 0.5) / len(OPERATIONS)
    made = augmentations.get("rand-augment")(images, rows([place, 0.9, 0.0]), operations=1, strength=0.5)
    expected = images.clone()
    apply_in_place(expected, torch.tensor([0]), torch.tensor([place]), torch.tensor([0.5]))
    assert torch.equal(made, expected) and not torch.equal(made, images)


def test_colours_of_grey_pictures_stay():
    """Hue and saturation have nothing to change on one channel, nor on three equal ones."""
    grey = noise(4, 1)
    for name in ("hue", "saturation"):
        augment = compose([(name, {"strength": 1.0, "p": 1.0})])
        assert torch.equal(augment(grey, torch.arange(4), 0, 0), grey)
        repeated = grey.expand(-1, 3, -1, -1).contiguous()
        assert torch.equal(augment(repeated, torch.arange(4), 0, 0), repeated)
