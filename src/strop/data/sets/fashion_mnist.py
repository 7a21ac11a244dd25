"""Fashion-MNIST: 60,000 training and 10,000 test pictures of clothes, 28 x 28 grey, ten classes.

Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
arXiv:1708.07747.
"""

from __future__ import annotations

import os
from pathlib import Path

from ...errors import UserError
from ..idx import read_idx
from ..source import ArraySplit, Source
from . import sets

CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@sets.add("fashion-mnist")
def fashion_mnist() -> Source:
    """All of Fashion-MNIST; looked for in $STROP_DATA, ./data and Debian's package, else downloaded."""
    folder = find_fashion_mnist()
    if folder is None:
        _download(_home())
        folder = find_fashion_mnist()
    if folder is None:
        raise _missing("the download left no files")
    return read_fashion("fashion-mnist", folder)


def find_fashion_mnist() -> Path | None:
    """The first known place that has all four files, plain or gzipped; None where none has."""
    for folder in _places():
        if all(_pick(folder, stem) for pair in FILES.values() for stem in pair):
            return folder
    return None


def read_fashion(name: str, folder: Path) -> Source:
    """Read the four idx files of a folder. Raises UserError where they are damaged or do not belong together."""
    return Source(name, None, CLASSES, {split: _read_split(split, folder, *pair) for split, pair in FILES.items()})


def _read_split(split: str, folder: Path, images_stem: str, labels_stem: str) -> ArraySplit:
    images_file, labels_file = _pick(folder, images_stem), _pick(folder, labels_stem)
    if images_file is None or labels_file is None:
        raise UserError(str(folder), f"{images_stem}.gz or {labels_stem}.gz is missing. Install or fetch it again.")
    images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
    if len(images) != len(labels):
        raise UserError(str(labels_file), f"{len(labels)} labels for {len(images)} pictures. Fetch both files again.")
    if len(labels) and labels.max() >= len(CLASSES):
        raise UserError(str(labels_file), f"label {labels.max()} is out of range; there are {len(CLASSES)} classes.")
    return ArraySplit(split, images, labels)


def _home() -> Path:
    return Path(os.environ.get("STROP_DATA") or "~/.cache/strop").expanduser()


def _places() -> list[Path]:
    raw = Path("FashionMNIST") / "raw"
    return [_home() / "fashion-mnist", _home() / raw, Path("data") / raw, _DEBIAN]


def _pick(folder: Path, stem: str) -> Path | None:
    return next((path for path in (folder / stem, folder / f"{stem}.gz") if path.is_file()), None)


def _download(root: Path) -> None:
    """Fetch the files with torchvision, which checks their md5."""
    from torchvision.datasets import FashionMNIST

    try:
        FashionMNIST(root, download=True)
    except (OSError, RuntimeError, ValueError) as error:  # URLError is an OSError; RuntimeError: no mirror answered
        raise _missing(f"downloading it failed ({error})") from error


def _missing(reason: str) -> UserError:
    files = ", ".join(f"{stem}.gz" for pair in FILES.values() for stem in pair)
    return UserError(
        "fashion-mnist",
        f"it is not on this machine and {reason}. Put {files} into {_home() / 'fashion-mnist'}, "
        "or install Debian's package dataset-fashion-mnist.",
    )
