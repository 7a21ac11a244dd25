"""Fashion-MNIST: 60,000 training and 10,000 test pictures of clothes, 28 x 28 grey, ten classes.

Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
arXiv:1708.07747.
"""

from __future__ import annotations

from pathlib import Path

from ..facts import Facts
from ..home import find_set, look_for
from ..idx import IDX_FILES as FILES
from ..idx import holds_idx_set, read_idx_set
from ..source import Source
from . import sets

FACTS = Facts(10, 1, 28, 60_000, test=10_000)
CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")
_LAYOUTS = ["FashionMNIST/raw"]
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@sets.add("fashion-mnist")
def fashion_mnist() -> Source:
    """All of Fashion-MNIST; looked for in $STROP_DATA, ./data and Debian's package, else downloaded."""
    folder = find_set(
        "fashion-mnist",
        _LAYOUTS,
        holds_idx_set,
        files=", ".join(f"{stem}.gz" for pair in FILES.values() for stem in pair),
        fetch=_download,
        more=[_DEBIAN],
        hint="install Debian's package dataset-fashion-mnist",
    )
    return read_fashion("fashion-mnist", folder)


def find_fashion_mnist() -> Path | None:
    """The first known place that has all four files, plain or gzipped; None where none has."""
    return look_for("fashion-mnist", _LAYOUTS, holds_idx_set, [_DEBIAN])


def read_fashion(name: str, folder: Path) -> Source:
    """Read the four idx files of a folder. Raises UserError where they are damaged or do not belong together."""
    return read_idx_set(name, CLASSES, folder)


def _download(root: Path) -> None:
    """Fetch the files with torchvision, which checks their md5."""
    from torchvision.datasets import FashionMNIST

    FashionMNIST(root, download=True)
