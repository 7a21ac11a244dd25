"""MNIST: 60,000 training and 10,000 test pictures of handwritten digits, 28 x 28 grey.

Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits", 1998.
"""

from __future__ import annotations

from pathlib import Path

from ..facts import Facts
from ..home import find_set
from ..idx import IDX_FILES, holds_idx_set, read_idx_set
from ..source import Source
from . import sets

FACTS = Facts(10, 1, 28, 60_000, test=10_000)
CLASSES = tuple("0123456789")


@sets.add("mnist")
def mnist() -> Source:
    """All of MNIST; looked for in $STROP_DATA and ./data, else downloaded."""
    files = ", ".join(f"{stem}.gz" for pair in IDX_FILES.values() for stem in pair)
    folder = find_set("mnist", ["MNIST/raw"], holds_idx_set, files=files, fetch=_download)
    return read_idx_set("mnist", CLASSES, folder)


def _download(root: Path) -> None:
    from torchvision.datasets import MNIST

    MNIST(root, download=True)
