"""Parts of JPEGs: the same pixels as decoding the whole, or a smaller scale of them; never a crash."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from strop.data import jpeg as jpeg_module
from strop.data.geometry import Box, to_grey
from strop.data.jpeg import choose_scale, open_jpeg, read_header, snap
from strop.data.picture import read_pixels

HEIGHT, WIDTH = 150, 203  # no multiples of a block


def photo(mode: str = "RGB", seed: int = 0) -> Image.Image:
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (20, 27, 3), dtype=np.uint8))
    return coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).convert(mode)


def save(folder: Path, image: Image.Image | None = None, **options) -> Path:
    path = folder / "a.jpg"
    (image or photo()).save(path, quality=90, **options)
    return path


def encode(image: Image.Image | None = None, **options) -> bytes:
    file = io.BytesIO()
    (image or photo()).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


BOXES = [Box(0, 0, HEIGHT, WIDTH), Box(0, 0, 1, 1), Box(17, 23, 31, 40), Box(60, 100, 90, 103), Box(33, 5, 15, 190)]


@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"progressive": True}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_part_is_the_same_pixels_as_in_the_whole(tmp_path, mode, options):
    """Rows below the box are left out, and no pixel inside it may notice."""
    path = save(tmp_path, photo(mode), **options)
    whole, jpeg = read_pixels(path), read_header(path.read_bytes())
    assert jpeg.shape == (HEIGHT, WIDTH)
    for box in BOXES:
        assert np.array_equal(jpeg.decode(box, 224, whole.shape[2]), box.cut(whole))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_part_of_a_turned_picture_is_what_one_sees_there(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path, exif=exif)
    whole, jpeg = read_pixels(path), read_header(path.read_bytes())
    assert jpeg.shape == whole.shape[:2]
    for box in (Box(17, 23, 31, 40), Box(0, 0, *jpeg.shape), Box(jpeg.shape[0] - 20, jpeg.shape[1] - 9, 20, 9)):
        assert np.array_equal(jpeg.decode(box, 224, 3), box.cut(whole))


def test_an_orientation_that_only_xmp_tells_is_heeded_too(tmp_path):
    path = save(tmp_path, xmp=b'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>')
    whole, jpeg = read_pixels(path), read_header(path.read_bytes())
    assert jpeg.shape == whole.shape[:2] == (WIDTH, HEIGHT)
    assert np.array_equal(jpeg.decode(Box(10, 20, 50, 60), 224, 3), Box(10, 20, 50, 60).cut(whole))


def test_the_scale_is_the_smallest_that_shows_enough_pixels():
    assert [choose_scale(Box(0, 0, side, 900), 100) for side in (99, 199, 200, 399, 400, 800)] == [1, 1, 2, 2, 4, 8]
    assert choose_scale(Box(0, 0, 900, 150), 100) == 1


def test_snapped_boxes_hold_the_box_and_lie_on_the_grid():
    assert snap(Box(5, 8, 10, 9), 4, (100, 100)) == Box(4, 8, 12, 12)
    assert snap(Box(5, 8, 94, 9), 4, (99, 100)) == Box(4, 8, 95, 12)
    assert snap(Box(5, 8, 10, 9), 1, (100, 100)) == Box(5, 8, 10, 9)


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_smaller_scale_shows_the_means_of_its_blocks(tmp_path, scale, options):
    path = save(tmp_path, **options)
    box, size = Box(8, 16, 128, 160), 128 // scale
    small = read_header(path.read_bytes()).decode(box, size, 3)
    blocks = box.cut(read_pixels(path)).reshape(128 // scale, scale, 160 // scale, scale, 3).mean((1, 3))
    assert small.shape == blocks.shape
    errors = {shift: np.abs(np.roll(small, shift, (0, 1)) - blocks)[2:-2, 2:-2].mean() for shift in (-1, 0, 1)}
    assert errors[0] < 3 and errors[0] < 0.5 * min(errors[-1], errors[1])  # a block beside would not do


def test_grey_is_asked_of_colour_as_luma(tmp_path):
    path = save(tmp_path)
    luma = read_header(path.read_bytes()).decode(BOXES[2], 224, 1)
    assert luma.shape == (31, 40, 1)
    assert np.abs(luma.astype(int) - to_grey(BOXES[2].cut(read_pixels(path)))).max() <= 4  # rounded on another way


def test_what_is_not_for_this_module_is_left_to_the_exact_way(tmp_path):
    whole = encode()
    assert read_header(whole) is not None
    assert read_header(encode(photo("CMYK"))) is None
    assert read_header(whole[:-2]) is None and read_header(whole[: len(whole) // 2]) is None
    assert read_header(b"") is None and read_header(whole[:2]) is None
    large = bytearray(whole)
    at = read_header(whole).height_at
    large[at : at + 4] = b"\xff\xff\xff\xff"
    assert read_header(bytes(large)) is None
    large[at : at + 4] = b"\0\0\0\1"
    assert read_header(bytes(large)) is None
    (tmp_path / "a.png").write_bytes(whole)
    (tmp_path / "b.jpg").write_bytes(b"\x89PNG" + whole)
    for name, taken in (("a.png", True), ("b.jpg", False)):  # the bytes tell, whatever the name
        with open(tmp_path / name, "rb") as file:
            assert (open_jpeg(file) is not None) is taken


def test_a_file_too_large_for_memory_is_left_to_the_exact_way(tmp_path, monkeypatch):
    monkeypatch.setattr(jpeg_module, "LARGEST_FILE", len(encode()))
    assert open_jpeg(io.BytesIO(encode())) is not None
    assert open_jpeg(io.BytesIO(encode() + b"\0")) is None


def test_data_after_the_end_is_no_reason_to_refuse():
    whole = encode()
    jpeg = read_header(whole + bytes(100))
    assert np.array_equal(jpeg.decode(BOXES[2], 224, 3), read_header(whole).decode(BOXES[2], 224, 3))


def test_damaged_bytes_give_pixels_of_the_right_shape_or_nothing():
    """600 files with a few bytes changed, cut out or put in."""
    random = np.random.default_rng(0)
    originals = [encode(), encode(progressive=True), encode(photo("L")), encode(restart_marker_blocks=4)]
    refused = 0
    for n in range(600):
        data = bytearray(originals[n % len(originals)])
        for _ in range(random.integers(1, 6)):
            at = int(random.integers(0, 700 if n % 2 else len(data)))
            data[at : at + int(random.integers(0, 3))] = random.bytes(int(random.integers(0, 3)))
        jpeg = read_header(bytes(data))
        if jpeg is None or min(jpeg.shape) < 8:
            refused += 1
            continue
        height, width = jpeg.shape
        box = Box(height // 4, width // 4, height // 2, width // 2)
        pixels = jpeg.decode(box, max(box.height, box.width), 3)
        refused += pixels is None
        assert pixels is None or (pixels.shape[:2] == (box.height, box.width) and pixels.shape[2] in (1, 3))
    assert refused < 600
