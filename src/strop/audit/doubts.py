"""Likely label errors: a cheap model learns from four fifths of the pictures and doubts the labels of the rest."""

from __future__ import annotations

import hashlib
import warnings

import cv2
import numpy as np

from ..data.look import Looks
from .collection import NO_LABEL, Collection
from .findings import Finding, Item, make_finding

WORST, FOLDS, LEAST_A_CLASS, TRUSTED = 50, 5, 5, 0.7
FAR = 30  # times: of 200 labels made wrong in 10,000 pictures of Fashion-MNIST, 66 % are found; 73 % of those told are
MOST_CELLS = 20_000_000
_ANGLES, _PARTS = 8, 4


def describe_pictures(luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Pixels, colours and edge directions as a plain vector a picture.

    256 grey values, 32 colour differences, and for each of 4 x 4 parts how strong the edges are in 8 directions
    (the square root of their share), brought to zero mean and unit spread.

    Shape:
        luma: (N, 16, 16) uint8. chroma: (N, 4, 4, 2) uint8. Returns: (N, 416) float32.
    """
    n = len(luma)
    values = luma.astype(np.float32) / 255
    edges = np.stack([_edges(picture) for picture in luma]) if n else np.zeros((0, _PARTS * _PARTS * _ANGLES))
    table = np.concatenate([values.reshape(n, -1), chroma.reshape(n, -1).astype(np.float32) / 255 - 0.5, edges], axis=1)
    return ((table - table.mean(0)) / np.maximum(table.std(0), 1e-3)).astype(np.float32)


def _edges(luma: np.ndarray) -> np.ndarray:
    across = cv2.Sobel(luma, cv2.CV_32F, 1, 0, ksize=3)
    down = cv2.Sobel(luma, cv2.CV_32F, 0, 1, ksize=3)
    strength, angle = np.hypot(across, down), np.arctan2(down, across) % np.pi
    part = np.arange(len(luma)) * _PARTS // len(luma)
    cell = part[:, None] * _PARTS + part
    place = cell * _ANGLES + np.minimum((angle / np.pi * _ANGLES).astype(int), _ANGLES - 1)
    sums = np.bincount(place.ravel(), strength.ravel(), minlength=_PARTS * _PARTS * _ANGLES).reshape(-1, _ANGLES)
    return np.sqrt(sums / (sums.sum(1, keepdims=True) + 50)).ravel()


def deal_folds(family: np.ndarray, label: np.ndarray, seed: int = 0, folds: int = FOLDS) -> np.ndarray:
    """(N,) fold of each picture: copies stay together, classes are dealt evenly, the order comes from a keyed hash."""
    families, first = np.unique(family, return_index=True)
    key = f"folds {seed}".encode()
    rank = [hashlib.blake2b(str(name).encode(), digest_size=8, key=key).digest() for name in first.tolist()]
    fold, dealt = np.zeros(len(families), dtype=np.int64), dict.fromkeys(label.tolist(), 0)
    for place in sorted(range(len(families)), key=rank.__getitem__):
        of = int(label[first[place]])
        fold[place], dealt[of] = dealt[of] % folds, dealt[of] + 1
    return fold[np.searchsorted(families, family)]


def predict_out_of_fold(table: np.ndarray, label: np.ndarray, fold: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities of logistic regressions, each picture judged by the one that did not see it.

    Shape:
        table: (N, F). label, fold: (N,). Returns: (N, classes); 0 for a class that a fold's model never met.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    chance = np.zeros((len(table), classes))
    for part in np.unique(fold):
        inside, outside = fold == part, fold != part
        if len(np.unique(label[outside])) < 2:
            continue
        model = LogisticRegression(C=0.01, max_iter=60)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # sixty steps are enough to doubt
            model.fit(table[outside], label[outside])
        chance[np.ix_(inside, model.classes_)] = model.predict_proba(table[inside])
    return chance


def doubt_labels(chance: np.ndarray, label: np.ndarray) -> np.ndarray:
    """How far the given label falls behind: ln p(other) - ln p(given) where another is convincing, else -inf.

    Another label convinces when the model gives it at least what it gives that label's own pictures on average.

    Source: the thresholds of Northcutt et al., "Confident Learning", arXiv:1911.00068.

    Shape:
        chance: (N, K). label: (N,). Returns: (N,) float64; > 0 is a doubt.
    """
    rows = np.arange(len(label))
    given = chance[rows, label]
    own = np.full(chance.shape[1], np.inf)
    for k in np.unique(label):
        own[k] = given[label == k].mean()
    other = np.where(chance >= own, chance, 0.0)
    other[rows, label] = 0.0
    best = other.max(1)
    with np.errstate(divide="ignore"):
        margin = np.log(best) - np.log(np.maximum(given, 1e-12))
    return np.where(best > given, margin, -np.inf)


def find_doubts(
    collection: Collection, looks: Looks, family: np.ndarray, *, worst: int = WORST, seed: int = 0
) -> list[Finding]:
    """The `worst` labels of train and val that the cheap model believes least; test is not looked at for this."""
    seen = looks.readable & (collection.label != NO_LABEL)
    seen &= np.array([split != "test" for split in collection.splits])[collection.split]
    enough = np.bincount(collection.label[seen], minlength=len(collection.classes)) >= LEAST_A_CLASS
    places = np.flatnonzero(seen & enough[collection.label])
    kinds = int(enough.sum())
    if kinds < 2:
        return [_limit(f"label errors: fewer than two classes have {LEAST_A_CLASS} pictures")]
    found, most = [], max(MOST_CELLS // kinds, 1)
    if len(places) > most:
        found.append(_limit(f"label errors: {most:,} of {len(places):,} pictures were judged"))
        places = places[np.sort(np.argsort(looks.pixels[places], kind="stable")[:most])]
    label = np.searchsorted(np.flatnonzero(enough), collection.label[places])
    table = describe_pictures(looks.luma[places], looks.chroma[places])
    fold = deal_folds(family[places], label, seed)
    chance = predict_out_of_fold(table, label, fold, kinds)
    doubt = doubt_labels(chance, label)
    order = np.argsort(-doubt, kind="stable")
    order = order[doubt[order] > np.log(FAR)]
    right = float((chance.argmax(1) == label).mean())
    names = [collection.classes[k] for k in np.flatnonzero(enough)]
    items = []
    for k in order[:worst]:
        best = chance[k].argmax()
        words = f"labelled {names[label[k]]} ({100 * chance[k, label[k]]:.1f} %), looks like {names[best]}"
        items.append(Item((collection.names[places[k]],), f"{words} ({100 * chance[k, best]:.0f} %)"))
    if not items:
        return found
    # A model that is often wrong itself casts doubt on little.
    severity = "warning" if right >= TRUSTED else "note"
    return [
        *found,
        make_finding("label", items, count=len(order), severity=severity, far=FAR, right=f"{100 * right:.0f}"),
    ]


def _limit(words: str) -> Finding:
    return make_finding("limit", [Item((), words)])
