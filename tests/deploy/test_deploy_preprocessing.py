"""The cutting and scaling inside the graph, held against what strop does to a picture itself."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from strop.data.geometry import fit_square, to_grey
from strop.deploy.preprocessing import before
from strop.deploy.settings import Settings

SIZE = 32


@pytest.fixture(scope="module")
def squares():
    """squares(channels): a function from (B, H, W, 3) to what comes out before normalising, in grey levels."""

    def make(channels):
        settings = Settings(input_size=SIZE, channels=channels, mean=[0] * channels, std=[1 / 255] * channels)
        graph = before(settings, "square")
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        onnx.checker.check_model(model)
        session = onnxruntime.InferenceSession(model.SerializeToString())
        return lambda images: session.run(None, {"images": images})[0]

    return {channels: make(channels) for channels in (1, 3)}


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (1, height, width, 3), dtype=np.uint8)


def stripes(height, width):
    """Detail that smoothing filters wash out."""
    y, x = np.mgrid[:height, :width]
    return np.stack([(y + x) // 3 % 2 * 255, y % 2 * 255, x // 2 % 2 * 255], 2).astype(np.uint8)[None]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("draw", [noise, stripes])
@pytest.mark.parametrize(
    ("height", "width"), [(32, 32), (32, 41), (33, 40), (63, 99), (64, 64), (65, 65), (97, 300), (128, 131), (451, 300)]
)
def test_shrinking_is_that_of_evaluation_to_the_last_bit(squares, channels, draw, height, width):
    """What `fit_square` gives, at ratios of every kind: 1, 2 (halves are rounded up), 4, and others."""
    images = draw(height, width)
    found = squares[channels](images)
    assert found.shape == (1, channels, SIZE, SIZE)
    assert np.array_equal(np.rint(found[0]), fit_square(images[0], SIZE, channels))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(20, 20), (31, 60), (3, 700), (1, 1), (1, 9)])
def test_enlarging_is_within_one_level(squares, channels, height, width):
    """OpenCV rounds bilinear weights to 11 bits, the graph does not."""
    images = noise(height, width)
    expected = fit_square(images[0], SIZE, channels).astype(int)
    assert np.abs(squares[channels](images)[0] - expected).max() <= 1.001


def test_weights_are_the_overlaps_by_hand(squares):
    """33 columns to 32: output i covers [33 i / 32, 33 (i + 1) / 32) of the input, and takes its mean."""
    image = np.zeros((1, 33, 33, 3), np.uint8)
    image[:, :, 1] = 99
    found = squares[3](image)[0, 0, 0]
    expected = np.zeros(SIZE)
    for i in range(SIZE):
        low, high = 33 * i / 32, 33 * (i + 1) / 32
        expected[i] = 99 * max(0, min(high, 2) - max(low, 1)) / (33 / 32)
    assert found == pytest.approx(np.rint(expected), abs=1e-3)


def test_grey_is_that_of_evaluation(squares):
    """300,000 random colours as OpenCV makes them grey, and grey ones, which stay what they are."""
    colours = np.random.default_rng(1).integers(0, 256, (300, SIZE, SIZE, 3), dtype=np.uint8)
    found = squares[1](colours)
    expected = np.stack([to_grey(picture)[:, :, 0] for picture in colours])
    assert np.array_equal(np.rint(found[:, 0]), expected)
    levels = np.repeat(np.arange(1024, dtype=np.int64) % 256, 3).astype(np.uint8).reshape(1, SIZE, SIZE, 3)
    assert np.array_equal(np.rint(squares[1](levels))[0, 0], levels[0, :, :, 0])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (50, 60), (20, 24)])
def test_a_batch_is_its_pictures(squares, height, width):
    """Pictures together give what each gives alone."""
    images = np.concatenate([noise(height, width, seed) for seed in range(5)])
    together = squares[3](images)
    alone = np.concatenate([squares[3](image[None]) for image in images])
    assert np.array_equal(together, alone)


def test_outside_the_centre_square_nothing_is_seen(squares):
    """A wide picture is its centre; of an odd rest the larger part is on the right, as in `fit_square`."""
    wide = noise(40, 67)
    assert np.array_equal(squares[3](wide), squares[3](wide[:, :, 13:53]))
