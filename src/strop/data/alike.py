"""Decide whether two pictures of near hashes show the same: the hash alone can't tell one trouser from another."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from ..errors import UserError
from .look import SIDE, Looks

# Measured on Fashion-MNIST: JPEG at quality 75 of 28-pixel pictures stays below 0.0025 and 0.3
# in 99 % of copies; different pictures of Fashion-MNIST are above in all but a few of 10,000.
UNLIKE, LOCAL = 0.0025, 0.30
_WORTH_A_LOOK = 0.10
_CHROMA = 12
_SMALL, _MOST_PIXELS = 256, 4_000_000
_KERNELS = (
    Image.Resampling.BOX,
    Image.Resampling.BILINEAR,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)
_KEPT = 512


def compare(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How unlike pairs of small grey pictures are: (1 - correlation, largest local difference / contrast).

    b is first brought to the brightness and contrast of a: local = max |a - mean(a) - g (b - mean(b))| / std(a),
    g from least squares. The first is small for copies, the second keeps apart what differs in one spot only.

    Shape:
        a, b: (N, H, W) uint8. Returns: two of (N,) float32; 0 at equality.
    """
    a, b = (x.reshape(len(x), -1).astype(np.float32) for x in (a, b))
    a -= a.mean(1, keepdims=True)
    b -= b.mean(1, keepdims=True)
    aa, bb, ab = (a * a).mean(1), (b * b).mean(1), (a * b).mean(1)
    unlike = 1 - ab / np.sqrt(np.maximum(aa * bb, 1e-6))
    gain = ab / np.maximum(bb, 1e-6)
    local = np.abs(a - gain[:, None] * b).max(1) / np.sqrt(np.maximum(aa, 1))
    return unlike, local


class Judge:
    """Confirms pairs of pictures.

    Pairs are compared at 16 x 16. Two small pictures of different size are compared once more after the larger was
    shrunk to the other's size with each of the usual kernels: at 14 pixels the kernel matters more than the motif.

    Args:
        looks: of all pictures.
        read: gives the pixels of a picture again, (H, W, 1 or 3) uint8; may raise UserError.
        redo: most pairs that are read again for that; `stopped` is set beyond it.
    """

    def __init__(self, looks: Looks, read: Callable[[int], np.ndarray], *, redo: int = 50_000):
        self.looks, self.read, self.left, self.stopped = looks, read, redo, False
        self._read: OrderedDict[int, np.ndarray | None] = OrderedDict()

    def confirm(self, i: np.ndarray, j: np.ndarray, mirrored: bool) -> np.ndarray:
        """(P,) bool: pictures i and j show the same, j mirrored where `mirrored`."""
        found = np.zeros(len(i), dtype=bool)
        for start in range(0, len(i), 20_000):
            part = slice(start, start + 20_000)
            found[part] = self._confirm(i[part], j[part], mirrored)
        return found

    def _confirm(self, i: np.ndarray, j: np.ndarray, mirrored: bool) -> np.ndarray:
        looks = self.looks
        unlike, local = compare(looks.luma[i], _turn(looks.luma[j], mirrored))
        colours = self._same_colours(i, j, mirrored)
        found = (unlike <= UNLIKE) & (local <= LOCAL) & colours
        area = looks.size.astype(np.int64).prod(1)
        again = ~found & colours & (unlike <= _WORTH_A_LOOK) & (looks.size[i] != looks.size[j]).any(1)
        again &= np.minimum(looks.size[i].min(1), looks.size[j].min(1)) < _SMALL
        again &= np.maximum(area[i], area[j]) <= _MOST_PIXELS
        for place in np.flatnonzero(again):
            if self.left <= 0:
                self.stopped = True
                break
            self.left -= 1
            found[place] = self._redo(int(i[place]), int(j[place]), mirrored)
        return found

    def _same_colours(self, i: np.ndarray, j: np.ndarray, mirrored: bool) -> np.ndarray:
        """A grey copy of a colour picture is a copy; a red apple and a green one are not."""
        looks = self.looks
        a, b = looks.chroma[i].astype(np.int16), _turn(looks.chroma[j], mirrored).astype(np.int16)
        far = np.abs(a - b).reshape(len(i), -1).max(1)
        return (far <= _CHROMA) | looks.grey[i] | looks.grey[j]

    def _redo(self, i: int, j: int, mirrored: bool) -> bool:
        a, b = self._luma(i), self._luma(j)
        if a is None or b is None:
            return False
        b = b[:, ::-1] if mirrored else b
        large, small = (a, b) if a.size >= b.size else (b, a)
        if any(large.shape[axis] < small.shape[axis] for axis in (0, 1)):
            return False
        goal = _at_most(small)
        shrunk = np.stack([_at_most(copy) for copy in _shrink_in_each_way(large, small.shape)])
        unlike, local = compare(np.broadcast_to(goal, shrunk.shape), shrunk)
        return bool(((unlike <= UNLIKE) & (local <= LOCAL)).any())

    def _luma(self, i: int) -> np.ndarray | None:
        """The picture in grey, the last few hundred kept; None where it can't be read any more."""
        if i not in self._read:
            try:
                pixels = self.read(i)
            except UserError:
                pixels = None
            if pixels is not None:
                grey = pixels.shape[2] == 1
                pixels = pixels[:, :, 0] if grey else cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
            self._read[i] = pixels
            if len(self._read) > _KEPT:
                self._read.popitem(last=False)
        return self._read[i]


def _turn(pictures: np.ndarray, mirrored: bool) -> np.ndarray:
    return pictures[:, :, ::-1] if mirrored else pictures


def _at_most(luma: np.ndarray) -> np.ndarray:
    """16 x 16, or less where the picture is smaller."""
    height, width = luma.shape
    size = (min(width, SIDE), min(height, SIDE))
    return cv2.resize(np.ascontiguousarray(luma), size, interpolation=cv2.INTER_AREA)


def _shrink_in_each_way(luma: np.ndarray, shape: tuple[int, int]) -> list[np.ndarray]:
    size = (shape[1], shape[0])
    image = Image.fromarray(np.ascontiguousarray(luma))
    linear = cv2.resize(np.ascontiguousarray(luma), size, interpolation=cv2.INTER_LINEAR)
    return [np.asarray(image.resize(size, kernel)) for kernel in _KERNELS] + [linear]
