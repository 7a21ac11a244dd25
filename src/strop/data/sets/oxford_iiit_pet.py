"""Oxford-IIIT Pet: 3,680 training and 3,669 test photographs of 37 breeds of cats and dogs.

Source: Parkhi et al., "Cats and Dogs", CVPR 2012.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import UserError
from ..facts import Facts
from ..home import find_set
from ..listed import open_listed, read_list, require_plain
from ..source import Source
from . import sets

FACTS = Facts(37, 3, None, 3_680, test=3_669)
LISTS = {"train": "annotations/trainval.txt", "test": "annotations/test.txt"}


@sets.add("oxford-iiit-pet")
def oxford_iiit_pet() -> Source:
    """All of Oxford-IIIT Pet by breed; looked for in $STROP_DATA and ./data, else downloaded."""
    folder = find_set(
        "oxford-iiit-pet",
        ["oxford-iiit-pet"],
        _holds,
        files="the folders images and annotations of images.tar.gz and annotations.tar.gz",
        fetch=_download,
    )
    breeds: dict[int, str] = {}
    rows = {split: _read(folder / name, breeds) for split, name in LISTS.items()}
    if sorted(breeds) != list(range(len(breeds))):
        raise UserError(str(folder), f"labels are {sorted(breeds)}, not counted from 1. Fetch the set again.")
    classes = tuple(breeds[label] for label in sorted(breeds))
    return Source("oxford-iiit-pet", None, classes, open_listed(folder, rows))


def _holds(folder: Path) -> bool:
    return (folder / "images").is_dir() and all((folder / name).is_file() for name in LISTS.values())


def _read(file: Path, breeds: dict[int, str]) -> list[tuple[str, int]]:
    """Lines such as "great_pyrenees_12 15 2 9": picture, breed from 1, species, number in the species."""
    rows = []
    for line in read_list(file).splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 4 or not words[1].isdecimal():
            raise UserError(str(file), f"{line[:80]!r} is no line of it. Fetch it again.")
        name, label = require_plain(file, words[0]), int(words[1]) - 1
        breed = name.rpartition("_")[0].lower().replace("_", " ")
        if breeds.setdefault(label, breed) != breed:
            raise UserError(str(file), f"label {label + 1} is {breeds[label]!r} and {breed!r}. Fetch it again.")
        rows.append((f"images/{name}.jpg", label))
    return rows


def _download(root: Path) -> None:
    from torchvision.datasets import OxfordIIITPet

    OxfordIIITPet(root, download=True)
