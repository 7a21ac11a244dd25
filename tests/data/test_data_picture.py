"""Decoding: every kind of picture file becomes upright uint8, grey or RGB."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from strop.data import picture
from strop.data.picture import explain_no_picture, read_pixels, read_shape
from strop.errors import UserError


def gradient(height: int = 6, width: int = 9) -> np.ndarray:
    return (np.arange(height * width * 3).reshape(height, width, 3) * 255 // (height * width * 3 - 1)).astype(np.uint8)


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "ppm", "webp"])
def test_lossless_colour_comes_back_as_it_was(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(gradient()).save(path, **({"lossless": True} if ending == "webp" else {}))
    assert np.array_equal(read_pixels(path), gradient())
    assert read_shape(path) == (6, 9, 3)


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "gif"])
def test_grey_has_one_channel_but_a_palette_has_three(tmp_path, ending):
    grey = gradient()[:, :, 0]
    path = tmp_path / f"a.{ending}"
    Image.fromarray(grey).save(path)
    assert np.array_equal(read_pixels(path)[:, :, 0], grey)
    assert read_pixels(path).shape == read_shape(path)
    Image.fromarray(grey).convert("P").save(tmp_path / "p.png")
    assert np.array_equal(read_pixels(tmp_path / "p.png"), np.repeat(grey[:, :, None], 3, axis=2))


def test_sixteen_bits_keep_their_upper_eight(tmp_path):
    deep = np.array([[0, 255, 256], [4660, 65280, 65535]], dtype=np.uint16)  # 4660 = 0x1234
    for ending in ("png", "tif"):
        path = tmp_path / f"deep.{ending}"
        Image.fromarray(deep).save(path)
        assert read_pixels(path)[:, :, 0].tolist() == [[0, 0, 1], [0x12, 255, 255]]
        assert read_shape(path) == (2, 3, 1)


def test_one_bit_becomes_black_and_white(tmp_path):
    Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert("1").save(tmp_path / "bit.png")
    assert read_pixels(tmp_path / "bit.png").tolist() == [[[0], [255]]]


def test_alpha_is_laid_on_white(tmp_path):
    """Red at alpha 0 is white, at 255 red; at 51 (a fifth) green and blue are four fifths of white, 204."""
    pixels = np.array([[[255, 0, 0, 0], [255, 0, 0, 255], [255, 0, 0, 51]]], dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read_pixels(tmp_path / "a.png").tolist() == [[[255, 255, 255], [255, 0, 0], [255, 204, 204]]]
    Image.fromarray(np.array([[[0, 0], [0, 255]]], dtype=np.uint8), "LA").save(tmp_path / "la.png")
    assert read_pixels(tmp_path / "la.png").tolist() == [[[255], [0]]]


def test_a_transparent_palette_entry_is_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    image.save(tmp_path / "p.png", transparency=0)
    assert read_pixels(tmp_path / "p.png").tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_cmyk_becomes_rgb(tmp_path):
    Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(tmp_path / "white.jpg", quality=100)
    pixels = read_pixels(tmp_path / "white.jpg")
    assert pixels.shape == (8, 8, 3) and pixels.min() >= 250


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_exif_orientation_is_applied_as_pillow_does(tmp_path, orientation, ending):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{ending}"
    Image.fromarray(gradient()).save(path, exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(read_pixels(path), expected)
    assert read_shape(path) == expected.shape
    assert expected.shape[:2] == ((9, 6) if orientation > 4 else (6, 9))


def test_a_broken_exif_block_turns_nothing(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "a.jpg", exif=b"Exif\0\0garbage that is no TIFF header")
    assert read_pixels(tmp_path / "a.jpg").shape == (6, 9, 3)


@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "webp", "tif", "bmp", "ppm"])
def test_a_file_cut_short_names_itself(tmp_path, ending):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    path = tmp_path / f"cut.{ending}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=rf"cut\.{ending}.*can't be decoded"):
        read_pixels(path)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow also warns about what it can read in spite of damage
def test_random_damage_never_ends_in_another_error(tmp_path):
    """Pillow raises many types on broken bytes; whichever it is, the user sees a UserError with the file's name."""
    random = np.random.default_rng(1)
    for ending in ("png", "jpg", "gif", "webp", "tif", "bmp", "ppm"):
        Image.fromarray(gradient(20, 20)).save(tmp_path / f"whole.{ending}")
        whole = np.frombuffer((tmp_path / f"whole.{ending}").read_bytes(), dtype=np.uint8)
        for _ in range(40):
            broken = whole.copy()
            places = random.integers(0, len(whole), 6)
            broken[places] = random.integers(0, 256, 6)
            path = tmp_path / f"broken.{ending}"
            path.write_bytes(broken.tobytes())
            for read in (read_pixels, read_shape):
                try:
                    read(path)
                except UserError as error:
                    assert f"broken.{ending}" in str(error)


def test_too_many_pixels_are_refused_before_decoding(tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "MAX_PIXELS", 50)
    Image.fromarray(gradient()).save(tmp_path / "big.png")
    for read in (read_pixels, read_shape):
        with pytest.raises(UserError, match="9 x 6 pixels are more than the 50 that strop reads"):
            read(tmp_path / "big.png")


def test_formats_beyond_the_list_are_not_opened(tmp_path):
    """An EPS would start Ghostscript."""
    Image.fromarray(gradient()).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")
    with pytest.raises(UserError, match="can't be decoded"):
        read_pixels(tmp_path / "a.png")


def test_float_pixels_ask_for_eight_bits(tmp_path):
    Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(UserError, match="8 bits a channel"):
        read_pixels(tmp_path / "f.tif")


@pytest.mark.parametrize(
    "head, words",
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "HTML page"),
        (b"hello", "text"),
        (b"\0\0\0\x18ftypheic\0\0", "HEIC"),
        (b"\x7fELF\x02\x01\x01\0", "none of JPEG"),
    ],
)
def test_first_bytes_explain_what_a_file_is(head, words):
    assert words in explain_no_picture(head)
