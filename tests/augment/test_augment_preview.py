"""The grid that shows what the network will see."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image

from strop import fonts
from strop.augment import compose, preset
from strop.augment.preview import MOST_ROWS, preview_grid
from strop.errors import UserError


def colours(b=3, size=96, c=3):
    return torch.randint(0, 256, (b, c, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def has(page, picture):
    """Whether the picture is somewhere on the page, pixel by pixel."""
    pixels = picture.permute(1, 2, 0).numpy()
    height, width = pixels.shape[:2]
    for top, left in np.argwhere((page == pixels[0, 0]).all(2)):
        if np.array_equal(page[top : top + height, left : left + width], pixels):
            return True
    return False


def test_the_grid_holds_the_originals_each_part_and_what_training_sees(tmp_path):
    """At 96 pixels nothing is scaled, so each picture must be on the page as it is."""
    images, numbers, parts = colours(), torch.tensor([7, 8, 20]), preset("light")
    path = preview_grid(images, numbers, parts, tmp_path / "grid.png", seed=5)
    page = np.asarray(Image.open(path))
    assert all(has(page, image) for image in images)
    assert all(has(page, image) for image in images.flip(3)), "hflip alone, at p = 1"
    for epoch in range(3):
        assert all(has(page, image) for image in compose(parts)(images, numbers, 5, epoch))


def test_small_pictures_are_enlarged_by_whole_factors(tmp_path):
    """28 pixels times 3: every third pixel of the first picture is the original."""
    images = colours(2, 28, 1)
    page = np.asarray(Image.open(preview_grid(images, torch.arange(2), [], tmp_path / "grid.png", seed=0)))
    assert has(page, images[0].repeat_interleave(3, 1).repeat_interleave(3, 2).expand(3, -1, -1))


def test_an_existing_file_is_not_replaced(tmp_path):
    path = tmp_path / "mine.png"
    path.write_text("mine")
    with pytest.raises(UserError, match="overwrites nothing"):
        preview_grid(colours(), torch.arange(3), [], path, seed=0)
    assert path.read_text() == "mine"


def test_what_can_not_be_shown_is_said(tmp_path):
    path = tmp_path / "grid.png"
    for images, problem in (
        (colours(0), "0 pictures do not fit"),
        (colours(MOST_ROWS + 1, 8), "33 pictures do not fit"),
        (colours(2, 8, 4), "4 channels can't be shown"),
    ):
        with pytest.raises(UserError, match=problem):
            preview_grid(images, torch.arange(len(images)), [], path, seed=0)
    with pytest.raises(UserError, match="'hflop' is unknown"):
        preview_grid(colours(), torch.arange(3), [("hflop", {})], path, seed=0)
    with pytest.raises(UserError, match="can't be written"):
        preview_grid(colours(), torch.arange(3), [], tmp_path / "none" / "grid.png", seed=0)
    assert not path.exists()


def test_names_of_rows_may_hold_any_characters(tmp_path):
    """Long names are cut, letters without a glyph become question marks, line breaks make no new lines."""
    names = ["花" * 5, "a" * 500, "x\ny\x00"]
    preview_grid(colours(3, 16), torch.arange(3), preset("reference"), tmp_path / "grid.png", seed=0, names=names)


@pytest.mark.skipif(not fonts.chinese_fonts(), reason="no font with Chinese letters is installed")
def test_chinese_names_beside_the_rows(tmp_path):
    """Each name has its own letters: two of equal length give two pictures, none of them that of question marks."""

    def drawn(name):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.png"
        preview_grid(colours(1, 16), torch.arange(1), [], path, seed=0, names=[name])
        return np.asarray(Image.open(path))[:, :40].tobytes()

    assert len({drawn("外套"), drawn("短靴"), drawn("??")}) == 3


def test_without_a_chinese_font_one_sentence_says_so(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("strop.augment.preview.chinese_file", lambda: None)
    monkeypatch.setattr(logging.getLogger("strop"), "warning", said.append)
    fonts.warn_of_missing.cache_clear()
    for number in range(2):
        preview_grid(colours(2, 16), torch.arange(2), [], tmp_path / f"{number}.png", seed=0, names=["外套", "短靴"])
    assert len(said) == 1 and "can't be read; install one" in said[0]
