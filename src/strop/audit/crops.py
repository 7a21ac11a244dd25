"""Crops of other pictures: a network's embeddings propose, registration of one picture in the other confirms.

A perceptual hash sees the whole frame and misses them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import cv2
import numpy as np

from ..data.alike import compare
from ..data.look import Looks
from ..errors import UserError
from .collection import Collection

NEIGHBOURS, LEAST_COSINE, LEAST_SIDE = 8, 0.5, 32
MOST_PICTURES, MOST_CONFIRMED = 50_000, 200_000
Embed = Callable[[Collection, np.ndarray], np.ndarray]
_COARSE, _FINE, _SIDE = 32, 96, 16
_SCALES = 0.94 ** np.arange(20)  # of the largest that fits: down to 31 % of a side
_WORTH_A_LOOK, _CORRELATION, _UNLIKE, _LOCAL = 0.75, 0.97, 0.005, 0.35
_STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-4)
_LEAST_CONTRAST, _LEAST_SIDE, _MOST_STRETCH, _KEPT, _ROWS = 6.0, 10, 1.5, 1000, 1024


def find_crops(
    collection: Collection, looks: Looks, places: np.ndarray, family: np.ndarray, embed: Embed
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Pairs of pictures of which one is a crop of the other, and what was not searched, in words.

    Args:
        places: the pictures to compare, one of each group of equal ones.
        family: (N,) those of one family are copies already, and not compared.
        embed: `embed(collection, places)` gives a vector of length 1 for each, (P, F) float32.
    Shape:
        Returns: i and j (C,) int64 with i < j; mirrored (C,) bool.
    """
    places = places[~looks.blank[places] & (looks.size[places].min(1) >= LEAST_SIDE)]
    limits = []
    if len(places) > MOST_PICTURES:
        limits.append(f"crops: {MOST_PICTURES:,} of {len(places):,} pictures were compared")
        places = places[:MOST_PICTURES]
    pairs = places[propose_pairs(embed(collection, places))] if len(places) > 1 else np.empty((0, 2), np.int64)
    pairs = pairs[family[pairs[:, 0]] != family[pairs[:, 1]]]
    if len(pairs) > MOST_CONFIRMED:
        limits.append(f"crops: {MOST_CONFIRMED:,} of {len(pairs):,} proposed pairs were compared")
        pairs = pairs[:MOST_CONFIRMED]
    judge = CropJudge(collection.pixels)
    said = [judge.confirm(i, j) for i, j in pairs.tolist()]
    kept = np.array([answer is not None for answer in said], bool)
    mirrored = np.array([bool(answer) for answer in said], bool)
    return pairs[kept, 0], pairs[kept, 1], mirrored[kept], limits


def propose_pairs(vectors: np.ndarray, neighbours: int = NEIGHBOURS) -> np.ndarray:
    """Pairs of pictures of which one is among the nearest of the other by cosine; (P, 2), i < j, each once.

    Args:
        vectors: (N, F) float32, of length 1.
    """
    found = []
    for start in range(0, len(vectors), _ROWS):
        near = vectors[start : start + _ROWS] @ vectors.T
        rows = np.arange(len(near))
        near[rows, start + rows] = -1
        k = min(neighbours, len(vectors) - 1)
        best = np.argpartition(-near, k - 1, axis=1)[:, :k] if k else np.empty((len(near), 0), int)
        row, place = np.nonzero(np.take_along_axis(near, best, 1) >= LEAST_COSINE)
        found.append(np.column_stack([start + row, best[row, place]]))
    pairs = np.sort(np.concatenate(found), axis=1) if found else np.empty((0, 2), np.int64)
    return np.unique(pairs, axis=0)


class CropJudge:
    """Confirms that one picture is a crop of another, perhaps resized, stretched a little, mirrored or re-encoded.

    The smaller view is looked for in the other at 20 scales (correlation of 32-pixel pictures), then aligned by an
    affine map (ECC at 96 pixels). It is a crop where what the map shows is the same: correlation of at least 0.97, and
    at 16 x 16 of 0.995 with no part that differs by more than 0.35 of the contrast.

    Source: Evangelidis and Psarakis, "Parametric Image Alignment Using Enhanced Correlation Coefficient
        Maximization", IEEE TPAMI 2008, as in OpenCV.

    Args:
        read: gives the pixels of a picture, (H, W, 1 or 3) uint8; may raise UserError.
    """

    def __init__(self, read: Callable[[int], np.ndarray]):
        self.read = read
        self._kept: OrderedDict[int, np.ndarray | None] = OrderedDict()

    def confirm(self, i: int, j: int) -> bool | None:
        """Whether the two are mirrored to each other where one is a crop of the other; None where none is."""
        a, b = self._view(i), self._view(j)
        if a is None or b is None:
            return None
        for whole, part in ((a, b), (b, a)):
            for mirrored in (False, True):
                if _is_crop(whole, part[:, ::-1] if mirrored else part):
                    return mirrored
        return None

    def _view(self, i: int) -> np.ndarray | None:
        """The picture in grey, at most 96 pixels a side; None where it is flat or can't be read any more."""
        if i not in self._kept:
            try:
                pixels = np.ascontiguousarray(self.read(i))
            except UserError:
                pixels = None
            view = None
            if pixels is not None:
                grey = pixels[:, :, 0] if pixels.shape[2] == 1 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
                view = _shrink(grey, _FINE)
                view = view if view.std() >= _LEAST_CONTRAST else None
            self._kept[i] = view
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(i)
        return self._kept[i]


def _is_crop(whole: np.ndarray, part: np.ndarray) -> bool:
    start = _find(_shrink(whole, _COARSE), np.ascontiguousarray(_shrink(part, _COARSE)))
    if start is None:
        return False
    top, left, height, width = (side * len(whole) / len(_shrink(whole, _COARSE)) for side in start)
    part = np.ascontiguousarray(part)
    warp = np.array([[width / part.shape[1], 0, left], [0, height / part.shape[0], top]], np.float32)
    try:
        likeness, warp = cv2.findTransformECC(part, whole, warp, cv2.MOTION_AFFINE, _STEPS, None, 3)
    except cv2.error:  # it did not converge
        return False
    return likeness >= _CORRELATION and _is_plain(warp) and _shows_the_same(whole, part, warp)


def _find(whole: np.ndarray, part: np.ndarray) -> tuple[float, float, float, float] | None:
    """(top, left, height, width) in `whole` where `part` fits best, None where it fits nowhere."""
    largest = min(whole.shape[0] / part.shape[0], whole.shape[1] / part.shape[1])
    best, found = _WORTH_A_LOOK, None
    for scale in largest * _SCALES:
        height, width = (round(side * scale) for side in part.shape)
        if min(height, width) < _LEAST_SIDE:
            break
        template = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
        scores = cv2.matchTemplate(whole, template, cv2.TM_CCOEFF_NORMED)
        _, score, _, (left, top) = cv2.minMaxLoc(scores)
        if np.isfinite(score) and score > best:
            best, found = score, (top, left, height, width)
    return found


def _is_plain(warp: np.ndarray) -> bool:
    """Scaled, stretched by less than half, hardly turned or sheared: what cropping and resizing do."""
    (across, shear, _), (turn, down, _) = warp
    if min(across, down) <= 0.2 or max(across, down) > 1.6:
        return False
    stretch = max(across, down) / min(across, down)
    return stretch <= _MOST_STRETCH and max(abs(shear), abs(turn)) <= 0.1


def _shows_the_same(whole: np.ndarray, part: np.ndarray, warp: np.ndarray) -> bool:
    how = {"flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, "borderMode": cv2.BORDER_REPLICATE}
    seen = cv2.warpAffine(whole, warp, (part.shape[1], part.shape[0]), **how)
    thumbs = [cv2.resize(view, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)[None] for view in (seen, part)]
    unlike, local = compare(*thumbs)
    return bool(unlike[0] <= _UNLIKE and local[0] <= _LOCAL)


def _shrink(grey: np.ndarray, longest: int) -> np.ndarray:
    scale = longest / max(grey.shape)
    if scale >= 1:
        return grey
    size = tuple(max(1, round(side * scale)) for side in grey.shape[::-1])
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
