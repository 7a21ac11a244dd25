"""Small pictures that differ, and a folder of them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image


def make_picture(number: int, side: int = 48, channels: int = 3) -> np.ndarray:
    """A blurred random pattern: no two numbers alike, (side, side) or (side, side, 3) uint8."""
    noise = np.random.default_rng(number).normal(size=(side, side, channels)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3).reshape(side, side, channels)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min()) * 255
    return smooth.astype(np.uint8)[..., 0] if channels == 1 else smooth.astype(np.uint8)


class Paint:
    """Writes pictures below a folder: paint("train/cat/1.png", 7) puts picture 7 there."""

    def __init__(self, root: Path):
        self.root = root

    def __call__(self, name: str, picture: int | np.ndarray, **options) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = make_picture(picture) if isinstance(picture, int) else picture
        Image.fromarray(pixels).save(path, **options)
        return path

    def classes(self, split: str = "", each: int = 12, first: int = 0) -> None:
        """Two clean classes, cat and dog, of `each` pictures."""
        for i in range(each):
            self(f"{split}/cat/{i:02d}.png".lstrip("/"), first + i)
            self(f"{split}/dog/{i:02d}.png".lstrip("/"), first + 500 + i)


@pytest.fixture
def paint(tmp_path) -> Paint:
    return Paint(tmp_path / "set")
