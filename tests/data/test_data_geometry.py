"""From any picture to the model's square."""

import numpy as np
import pytest

from strop.data.geometry import fit_square


def noise(height, width, channels):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_that_fits_is_not_touched(channels):
    pixels = noise(28, 28, channels)
    assert np.array_equal(fit_square(pixels, 28, channels), np.moveaxis(pixels, 2, 0))


@pytest.mark.parametrize(
    "shape, size, inputs, outputs",
    [
        ((30, 50), 20, 3, 3),
        ((50, 30), 64, 1, 3),
        ((7, 200), 16, 3, 1),
        ((1, 9), 4, 1, 1),
    ],
)
def test_shape_type_and_layout(shape, size, inputs, outputs):
    square = fit_square(noise(*shape, inputs), size, outputs)
    assert square.shape == (outputs, size, size) and square.dtype == np.uint8 and square.flags.c_contiguous


def test_halving_averages_blocks_of_four():
    pixels = noise(8, 8, 3)
    expected = pixels.astype(float).reshape(4, 2, 4, 2, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    assert np.abs(fit_square(pixels, 4, 3) - expected).max() <= 0.5 + 1e-9


def test_shrinking_does_not_alias():
    """A one-pixel chequerboard is grey from afar; taking single pixels would give black and white."""
    board = ((np.indices((60, 60)).sum(axis=0) % 2) * 255).astype(np.uint8)[:, :, None]
    assert np.abs(fit_square(board, 20, 1).astype(int) - 127).max() <= 15


def test_the_centre_is_cut_out():
    pixels = noise(10, 16, 1)
    assert np.array_equal(fit_square(pixels, 10, 1)[0], pixels[:, 3:13, 0])
    assert np.array_equal(fit_square(pixels.transpose(1, 0, 2), 10, 1)[0], pixels[:, 3:13, 0].T)


def test_a_flat_picture_stays_flat():
    for size in (5, 40):
        assert (fit_square(np.full((13, 19, 3), 77, np.uint8), size, 3) == 77).all()


def test_grey_is_repeated_and_colour_is_weighed_after_itu_r_601():
    grey = noise(6, 6, 1)
    assert np.array_equal(fit_square(grey, 6, 3), np.repeat(grey[None, :, :, 0], 3, axis=0))
    colour = noise(6, 6, 3)
    assert np.abs(fit_square(colour, 6, 1)[0] - colour @ [0.299, 0.587, 0.114]).max() <= 0.51
