"""SVHN: 73,257 training and 26,032 test photographs of house numbers, 32 x 32, ten digits; the cropped version.

Source: Netzer et al., "Reading Digits in Natural Images with Unsupervised Feature Learning", 2011.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UserError
from ..facts import Facts
from ..home import find_set
from ..mat import read_mat
from ..source import ArraySplit, Source
from . import sets

if TYPE_CHECKING:
    import numpy as np

FACTS = Facts(10, 3, 32, 73_257, test=26_032)
CLASSES = tuple("0123456789")
FILES = {"train": "train_32x32.mat", "test": "test_32x32.mat"}


@sets.add("svhn")
def svhn() -> Source:
    """SVHN's train and test, without "extra"; looked for in $STROP_DATA and ./data, else downloaded."""
    folder = find_set("svhn", [".", "svhn"], _holds, files=" and ".join(FILES.values()), fetch=_download)
    return Source("svhn", None, CLASSES, {split: _read(split, folder / name) for split, name in FILES.items()})


def _holds(folder: Path) -> bool:
    return all((folder / name).is_file() for name in FILES.values())


def _read(split: str, file: Path) -> ArraySplit:
    """The file holds X (32, 32, 3, N) and y (N, 1), where the digit 0 is written 10."""
    import numpy as np

    found = read_mat(file, {"X": 4, "y": 2})
    pictures, labels = found["X"], found["y"].ravel()
    if pictures.dtype != np.uint8 or pictures.shape != (32, 32, 3, len(labels)):
        raise UserError(
            str(file), f"X is {pictures.shape} {pictures.dtype} for {len(labels)} labels, not (32, 32, 3, N) uint8."
        )
    return ArraySplit(split, np.ascontiguousarray(pictures.transpose(3, 0, 1, 2)), _read_labels(file, labels))


def _read_labels(file: Path, labels: np.ndarray) -> np.ndarray:
    if labels.size and not (labels.min() >= 1 and labels.max() <= 10):
        raise UserError(str(file), f"labels go from {labels.min()} to {labels.max()}; expected 1 to 10.")
    return labels.astype("int64") % 10


def _download(root: Path) -> None:
    from torchvision.datasets import SVHN

    for split in FILES:
        SVHN(root, split, download=True)
