"""Decoding: every kind of picture file becomes upright uint8, grey or RGB."""

import io
import os

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from strop.data import picture
from strop.data.formats import EXTENSIONS, FORMATS, explain_no_picture
from strop.data.picture import decode_pixels, parse_colour, read_pixels, read_shape
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


@pytest.mark.parametrize("ending, off", [("png", 0), ("tif", 0), ("ppm", 1)])
def test_sixteen_bit_colour_keeps_its_upper_eight(tmp_path, ending, off):
    """Pillow scales PPM by 255 / 65535 instead, which rounds to one more or less."""
    deep = np.array([[[0x1234, 0xFFFF, 0x00FF], [0x0100, 0x8000, 0xFE00]]], dtype=np.uint16)
    cv2.imwrite(str(tmp_path / f"deep.{ending}"), deep[:, :, ::-1])  # OpenCV's order is BGR
    upper = [[[0x12, 0xFF, 0], [1, 0x80, 0xFE]]]
    assert np.abs(read_pixels(tmp_path / f"deep.{ending}").astype(int) - upper).max() <= off


def test_sixteen_bit_alpha_is_laid_on_white_too(tmp_path):
    deep = np.array([[[0, 0, 0xFFFF, 0], [0, 0, 0xFFFF, 0xFFFF]]], dtype=np.uint16)  # red: OpenCV's order is BGRA
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    assert read_pixels(tmp_path / "deep.png").tolist() == [[[255, 255, 255], [255, 0, 0]]]


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


@pytest.mark.parametrize("alpha, below", [("black", (0, 0, 0)), ("#0a64ff", (10, 100, 255))])
def test_alpha_is_laid_on_the_colour_that_is_asked_for(tmp_path, alpha, below):
    """At alpha 0 the colour itself, at 255 the picture, at 51 a fifth of the picture and four fifths of the colour."""
    pixels = np.array([[[255, 0, 0, 0], [255, 0, 0, 255], [255, 0, 0, 51]]], dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    fifth = [round(0.2 * red + 0.8 * under) for red, under in zip((255, 0, 0), below, strict=True)]
    assert read_pixels(tmp_path / "a.png", alpha).tolist() == [[list(below), [255, 0, 0], fifth]]
    Image.fromarray(np.array([[[0, 0], [9, 255]]], dtype=np.uint8), "LA").save(tmp_path / "la.png")
    luma = round(0.299 * below[0] + 0.587 * below[1] + 0.114 * below[2])  # ITU-R 601
    assert read_pixels(tmp_path / "la.png", alpha).tolist() == [[[luma], [9]]]
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    image.save(tmp_path / "p.gif", transparency=0)
    assert read_pixels(tmp_path / "p.gif", alpha).tolist() == [[list(below), [40, 50, 60]]]


@pytest.mark.parametrize("text", ["White", "#fff", "#gggggg", "#1234567", "", "none", "0"])
def test_what_is_no_colour_is_refused(text):
    with pytest.raises(UserError, match=r"data\.alpha: '.*' is no colour\. Write white, black or one as '#ff8000'\."):
        parse_colour(text)


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


@pytest.mark.parametrize(
    "format, words",
    [
        ("EPS", "EPS drawing"),  # would start Ghostscript
        ("PDF", "PDF document"),
        ("ICO", "Windows icon"),
        ("JPEG2000", "JPEG 2000"),
        ("DDS", "DDS texture"),
        ("ICNS", "icon of macOS"),
        ("SGI", "SGI picture"),
        ("QOI", "QOI picture"),
        ("AVIF", "HEIC, AVIF"),
        ("PCX", "starts like none of"),
        ("TGA", "starts like none of"),
    ],
)
def test_formats_beyond_the_list_are_refused_by_name(tmp_path, format, words):
    """Whatever the file is called: the message names the file and what it is."""
    Image.fromarray(gradient(32, 32)).save(tmp_path / "a.x", format=format)
    (tmp_path / "a.x").rename(tmp_path / "a.png")
    for read in (read_pixels, read_shape):
        with pytest.raises(UserError, match=rf"a\.png: can't be decoded \(it .*{words}.*\)\. Replace or remove it\."):
            read(tmp_path / "a.png")


def test_only_the_listed_formats_are_ever_tried():
    """What each declared ending is saved as is in the list, and the list has nothing else."""
    assert {Image.registered_extensions()[f".{ending}"] for ending in EXTENSIONS} == set(FORMATS)


@pytest.mark.parametrize("kind, words", [("float32", "floating-point"), ("int32", "32-bit")])
def test_pixels_without_a_range_ask_for_eight_bits(tmp_path, kind, words):
    """Neither black nor white, as others read them: refused, by one sentence."""
    Image.fromarray(np.zeros((2, 2), kind)).save(tmp_path / "f.tif")
    with pytest.raises(
        UserError, match=rf"f\.tif: {words} pixels have no agreed range\. Save it with 8 bits a channel"
    ):
        read_pixels(tmp_path / "f.tif")


def test_a_pipe_and_a_folder_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe.png", "folder.png", "missing.png"):
        for read in (read_pixels, read_shape):
            with pytest.raises(UserError, match=rf"{name}: can't be read: "):
                read(tmp_path / name)


def test_a_file_beyond_the_limit_is_refused_by_its_size(tmp_path, monkeypatch):
    Image.fromarray(gradient()).save(tmp_path / "a.png")
    monkeypatch.setattr(picture, "MAX_FILE_BYTES", 100)
    with pytest.raises(UserError, match="bytes are more than the 100 that strop reads"):
        read_pixels(tmp_path / "a.png")


def test_bytes_in_memory_give_the_pixels_of_the_file(tmp_path):
    path = tmp_path / "a.webp"
    Image.fromarray(gradient()).save(path, lossless=True)
    assert np.array_equal(decode_pixels(io.BytesIO(path.read_bytes()), "here"), read_pixels(path))


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


def test_a_phones_picture_of_several_is_its_first(tmp_path):
    """MPO: a JPEG with more pictures behind it, which Pillow tells by its content, not by its name."""
    first = Image.fromarray(gradient(24, 32))
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[first.rotate(180)])
    alone = io.BytesIO()
    first.save(alone, "JPEG")
    assert np.array_equal(read_pixels(tmp_path / "a.jpg"), decode_pixels(io.BytesIO(alone.getvalue()), "alone"))


@pytest.mark.parametrize("mode", ["YCbCr", "LAB", "CMYK"])
def test_other_colour_spaces_become_rgb(tmp_path, mode):
    """TIFF stores them as they are; each way back is off by a few levels at most on these colours."""
    Image.new("RGB", (8, 8), (200, 120, 60)).convert(mode).save(tmp_path / "a.tif")
    assert np.abs(read_pixels(tmp_path / "a.tif").astype(int) - (200, 120, 60)).max() <= 3
