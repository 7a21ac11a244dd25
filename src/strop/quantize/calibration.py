"""Which pictures to calibrate on."""

from __future__ import annotations

import numpy as np

from ..data.chance import key, permutation


def choose_balanced(labels: np.ndarray, count: int, *, seed: int = 0) -> np.ndarray:
    """Positions of about `count` pictures, the same number from each class (all of a class that has fewer).

    Calibrating on the first files of a folder would show the network one class only.

    Shape:
        labels: (N,) int64. Returns: (M,) int64, sorted; count / K from each of K classes, at least one.
    """
    labels = np.asarray(labels)
    classes = np.unique(labels)
    each = max(1, count // len(classes))
    chosen = []
    for label in classes:
        members = np.flatnonzero(labels == label)
        chosen.append(members[permutation(len(members), key(seed, "calibration", int(label)))[:each]])
    return np.sort(np.concatenate(chosen))
