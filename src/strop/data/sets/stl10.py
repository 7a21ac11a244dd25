"""STL-10: 5,000 training and 8,000 test photographs, 96 x 96, ten classes; the unlabelled pictures are left out.

Source: Coates, Lee, Ng, "An Analysis of Single-Layer Networks in Unsupervised Feature Learning", AISTATS 2011.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import UserError
from ..facts import Facts
from ..home import find_set
from ..source import ArraySplit, Source
from . import sets

FACTS = Facts(10, 3, 96, 5_000, test=8_000)
CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
_SIDE = 96
_PICTURE = 3 * _SIDE * _SIDE


@sets.add("stl10")
def stl10() -> Source:
    """STL-10's labelled pictures; looked for in $STROP_DATA and ./data, else downloaded (2.6 GB)."""
    files = ", ".join(f"{split}_{letter}.bin" for split in ("train", "test") for letter in "Xy")
    folder = find_set("stl10", ["stl10_binary"], _holds, files=files, fetch=_download)
    return Source("stl10", None, CLASSES, {split: _read(split, folder) for split in ("train", "test")})


def _holds(folder: Path) -> bool:
    return all((folder / f"{split}_{letter}.bin").is_file() for split in ("train", "test") for letter in "Xy")


def _read(split: str, folder: Path) -> ArraySplit:
    """Labels 1 to 10, a byte each; pictures of three planes, each stored column by column. Pixels stay on disk."""
    import numpy as np

    file, labels_file = folder / f"{split}_X.bin", folder / f"{split}_y.bin"
    try:
        n = labels_file.stat().st_size
        if n == 0 or file.stat().st_size != n * _PICTURE:
            raise UserError(str(file), f"has {file.stat().st_size} bytes for {n} labels. Fetch both files again.")
        labels = np.fromfile(labels_file, np.uint8).astype(np.int64) - 1
        planes = np.memmap(file, np.uint8, "r", shape=(n, 3, _SIDE, _SIDE))
    except OSError as error:
        raise UserError(str(folder), f"can't be read: {error.strerror or error}.") from error
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        raise UserError(str(labels_file), f"labels go from {labels.min() + 1} to {labels.max() + 1}, not from 1 to 10.")
    return ArraySplit(split, planes.transpose(0, 3, 2, 1), labels)


def _download(root: Path) -> None:
    from torchvision.datasets import STL10
    from torchvision.datasets.utils import download_and_extract_archive

    download_and_extract_archive(STL10.url, str(root), filename=STL10.filename, md5=STL10.tgz_md5)
