"""Random crops: where they cut, and how what they cut is scaled."""

import numpy as np
import pytest
from PIL import Image

from strop.data.geometry import Box, RandomCrop, resize_smoothly, write_planes
from strop.errors import UserError


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth colours with some detail, as photographs have them."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (height // 10 + 2, width // 10 + 2, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / max(np.mean((a.astype(float) - b) ** 2), 1e-9))


def test_boxes_lie_inside_and_keep_to_their_ranges():
    crop = RandomCrop(scale=(0.2, 0.7), ratio=(0.5, 2.0))
    shapes = [(375, 500), (500, 375), (90, 91)] * 300
    for (height, width), (box, _) in zip(shapes, crop.place(crop.draw(1, 2, np.arange(900)), shapes), strict=True):
        assert box.top >= 0 and box.top + box.height <= height
        assert box.left >= 0 and box.left + box.width <= width
        assert 0.19 < box.height * box.width / (height * width) < 0.71  # sides are rounded to whole pixels
        assert 0.48 < box.width / box.height < 2.08


def test_boxes_reach_every_corner_and_are_centred_on_average():
    crop = RandomCrop()
    boxes = np.array([box for box, _ in crop.place(crop.draw(0, 0, np.arange(4000)), [(300, 400)] * 4000)])
    assert boxes[:, 0].min() == boxes[:, 1].min() == 0
    assert (boxes[:, 0] + boxes[:, 2]).max() == 300 and (boxes[:, 1] + boxes[:, 3]).max() == 400
    middle = boxes[:, :2] + boxes[:, 2:] / 2
    assert np.allclose(middle.mean(0), (150, 200), atol=4)  # 4 standard errors of a uniform place are 3.5


def test_a_box_depends_on_seed_epoch_and_number_alone():
    crop = RandomCrop(flip=0.5)
    together = crop.place(crop.draw(3, 4, np.arange(20)), [(60, 80)] * 20)
    for i in (0, 7, 19):
        assert crop.place(crop.draw(3, 4, np.array([i])), [(60, 80)]) == [together[i]]
    for seed, epoch in ((4, 4), (3, 5)):
        assert crop.place(crop.draw(seed, epoch, np.arange(20)), [(60, 80)] * 20) != together


def test_where_no_box_fits_the_centre_is_taken():
    """A strip of 10 x 1000: no box of a fifth of its area is as square as 4:3."""
    crop = RandomCrop(scale=(0.2, 1.0))
    assert crop.place(crop.draw(0, 0, np.array([0])), [(10, 1000)])[0][0] == Box(0, 493, 10, 13)
    assert crop.place(crop.draw(0, 0, np.array([0])), [(1000, 10)])[0][0] == Box(493, 0, 13, 10)
    assert crop.place(crop.draw(0, 0, np.array([0])), [(1, 1)])[0][0] == Box(0, 0, 1, 1)


def test_flips_come_as_often_as_asked():
    for share in (0.0, 0.25, 1.0):
        crop = RandomCrop(flip=share)
        flips = [flip for _, flip in crop.place(crop.draw(0, 0, np.arange(4000)), [(9, 9)] * 4000)]
        assert abs(np.mean(flips) - share) <= 0.03  # 4 standard errors


@pytest.mark.parametrize("wrong", [{"scale": (0, 1)}, {"scale": (0.5, 0.4)}, {"ratio": (0, 1)}, {"flip": 1.5}])
def test_ranges_that_can_not_be_are_refused(wrong):
    with pytest.raises(UserError, match=f"crop.{next(iter(wrong))}"):
        RandomCrop(**wrong)


@pytest.mark.parametrize("shape", [(64, 64), (100, 90), (128, 100), (64, 40), (40, 64), (30, 20), (300, 64), (300, 30)])
def test_scaling_is_near_to_pillows_antialiased_one(shape):
    pixels = picture(*shape)
    expected = np.asarray(Image.fromarray(pixels).resize((64, 64), Image.Resampling.BILINEAR))
    assert psnr(resize_smoothly(pixels, 64, 64), expected) > 33


@pytest.mark.parametrize("size", [33, 40, 50, 61])
def test_shrinking_does_not_make_patterns_out_of_a_fine_one(size):
    """Stripes of one pixel become grey; plain bilinear sampling keeps them as broad waves."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    inside = resize_smoothly(stripes, size, size)[:, 2:-2].astype(float)
    remaining = ((64 / size) ** 2 - 1) / 12  # the weight that a neighbour gets; 1/4 would leave nothing
    assert np.abs(inside - 127.5).max() <= 127.5 * (1 - 4 * remaining) + 3


def test_plain_colours_and_fitting_pictures_stay():
    pixels = picture(32, 32)
    assert resize_smoothly(pixels, 32, 32) is pixels
    for shape in [(50, 40, 3), (20, 31, 1), (200, 10, 3)]:
        assert (resize_smoothly(np.full(shape, 77, np.uint8), 32, 32) == 77).all()
        assert resize_smoothly(np.zeros(shape, np.uint8), 32, 24).shape == (32, 24, shape[2])


def test_planes_are_the_picture_and_its_mirror_image():
    batch = np.zeros((2, 3, 8, 8), np.uint8)
    pixels = picture(8, 8)
    for channels in (3, 1):
        write_planes(pixels[:, :, :channels], batch[1])
        assert np.array_equal(batch[1], np.broadcast_to(np.moveaxis(pixels[:, :, :channels], 2, 0), (3, 8, 8)))
        write_planes(pixels[:, :, :channels], batch[0], mirrored=True)
        assert np.array_equal(batch[0], batch[1][:, :, ::-1])
