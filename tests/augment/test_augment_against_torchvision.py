"""Where torchvision has the same operation for one picture, ours gives the same pixels for a batch."""

import math

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as peer

from strop.augment.brightness import adjust_brightness
from strop.augment.contrast import adjust_contrast
from strop.augment.hue import adjust_hue
from strop.augment.pixels import change
from strop.augment.regional_blur import blur_boxes
from strop.augment.resized_crop import show_part
from strop.augment.saturation import adjust_saturation
from strop.augment.sharpen import adjust_sharpness
from strop.augment.tones import drop_bits, flatten_histogram, invert_above, stretch
from strop.augment.warping import affine_maps, turn, warp

B, SIZE = 8, 33


def noise(c=3):
    return torch.randint(0, 256, (B, c, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))


def smooth(c=3):
    """Noise whose detail is coarse, as that of photographs."""
    coarse = noise(c)[..., :7, :7].float()
    return torch.nn.functional.interpolate(coarse, size=SIZE, mode="bicubic").clamp(0, 255).byte()


def spread(low, high):
    return torch.linspace(low, high, B)


def each(images, function, *values):
    """The peer's function on one picture after the other."""
    rows = zip(images, *(value.tolist() for value in values), strict=True)
    return torch.stack([function(*row) for row in rows])


def ours(images, function, *values):
    return change(images, torch.arange(len(images)), function, *values)


def off(a, b):
    """Largest difference in grey levels."""
    return int((a.int() - b.int()).abs().max())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "function, theirs",
    [
        (adjust_brightness, peer.adjust_brightness),
        (adjust_contrast, peer.adjust_contrast),
        (adjust_saturation, peer.adjust_saturation),
        (adjust_sharpness, peer.adjust_sharpness),
    ],
)
def test_factors_mean_what_they_mean_to_torchvision(function, theirs, channels):
    """Factors 0 to 2. torchvision cuts fractions off, also of the grey and of the smoothed picture, where we round."""
    images, factors = noise(channels), spread(0, 2)
    assert off(ours(images, function, factors), each(images, theirs, factors)) <= 2


def test_hue_turns_the_circle_as_torchvision_does():
    """Shifts of minus to plus half a circle."""
    images, shifts = noise(), spread(-0.5, 0.5)
    assert off(ours(images, adjust_hue, shifts), each(images, peer.adjust_hue, shifts)) <= 2


def test_hue_by_a_third_rotates_the_channels():
    """Red becomes green, green blue, blue red; a whole turn is the identity."""
    images = noise()
    assert torch.equal(ours(images, adjust_hue, torch.full((B,), 1 / 3)), images[:, [2, 0, 1]])
    assert torch.equal(ours(images, adjust_hue, torch.ones(B)), images)


def test_rotate_turns_like_torchvision():
    """Compared in the disc that no corner reaches: torchvision's corners are black."""
    images, degrees = smooth(), spread(-170, 170)
    theirs = each(images, lambda image, angle: peer.rotate(image, angle, InterpolationMode.BILINEAR), degrees)
    place = torch.arange(SIZE) - (SIZE - 1) / 2
    disc = place[:, None].square() + place.square() < (SIZE / 2 - 2) ** 2
    assert off(ours(images, turn, degrees)[..., disc], theirs[..., disc]) <= 2


def test_a_quarter_turn_is_exact():
    images = noise()
    assert torch.equal(ours(images, turn, torch.full((B,), 90.0)), images.rot90(1, (2, 3)))


def test_affine_equals_torchvision():
    """All amounts at once; torchvision counts turns clockwise and shears as angles the other way."""
    images = smooth()
    degrees, zoom, shear = spread(-20, 20), spread(1.3, 1.6), spread(-15, 15)
    right, down = spread(3, -3).round(), spread(-2, 2).round()
    maps = affine_maps(degrees, right, down, zoom, -(shear * math.pi / 180).tan(), 0 * shear)

    def theirs(image, angle, x, y, scale, bend):
        return peer.affine(image, -angle, [x, y], scale, [bend, 0.0], InterpolationMode.BILINEAR)

    expected = each(images, theirs, degrees, right, down, zoom, shear)
    inner = slice(8, SIZE - 8)
    assert off(ours(images, warp, maps)[..., inner, inner], expected[..., inner, inner]) <= 2


def test_shear_along_either_side_then_back_is_the_identity_inside():
    """The inverse map of a shear is the map of the opposite shear, when only one of the two is not 0."""
    none, amount = torch.zeros(1), torch.tensor([0.3])
    for first, second in ((amount, none), (none, amount)):
        there = affine_maps(none, none, none, none + 1, first, second)[0, :, :2]
        back = affine_maps(none, none, none, none + 1, -first, -second)[0, :, :2]
        torch.testing.assert_close(there @ back, torch.eye(2))


def test_resized_crop_equals_torchvision_where_boxes_are_whole_pixels():
    images = smooth()
    left, top, width, height = (torch.arange(B) % 5 + start for start in (0, 3, 17, 20))
    boxes = torch.stack([left, top, width, height], 1).double() / SIZE

    def theirs(image, x, y, w, h):
        return peer.resized_crop(image, y, x, h, w, [SIZE, SIZE], InterpolationMode.BILINEAR, antialias=False)

    made, expected = ours(images, show_part, boxes), each(images, theirs, left, top, width, height)
    # At the edge of a box ours mixes in the pixel beyond it, which the picture has.
    inner = slice(2, SIZE - 2)
    assert off(made[..., inner, inner], expected[..., inner, inner]) <= 1


def test_the_whole_picture_is_the_identity_of_resized_crop():
    images = noise()
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).double().expand(B, 4)
    assert torch.equal(ours(images, show_part, whole), images)


def test_tones_equal_torchvision():
    """Posterize, solarize, autocontrast and equalize at full blend; the limit of solarize is exclusive here."""
    images, full = smooth(), torch.ones(B)
    assert torch.equal(ours(images, drop_bits, full / 2), peer.posterize(images, 5))
    assert torch.equal(ours(images, invert_above, full * 0.4), peer.solarize(images, 154))
    assert off(ours(images, stretch, full), peer.autocontrast(images)) <= 1
    assert torch.equal(ours(images, flatten_histogram, full), peer.equalize(images))


def test_blur_equals_torchvision_far_from_the_edge():
    """A box of the whole picture; torchvision's 25 taps reach 4 deviations at most; kernels have 12 bits here."""
    images = noise()
    whole = torch.arange(SIZE * SIZE).expand(B, -1)
    deviations = spread(0.5, 3)
    theirs = each(images, lambda image, sigma: peer.gaussian_blur(image, [25, 25], [sigma, sigma]), deviations)
    inner = slice(12, SIZE - 12)
    assert off(blur_boxes(images, whole, deviations)[..., inner, inner], theirs[..., inner, inner]) <= 2
