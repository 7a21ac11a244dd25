"""Food-101: 75,750 training and 25,250 test photographs of 101 dishes; the training labels hold some errors.

Source: Bossard, Guillaumin, Van Gool, "Food-101 - Mining Discriminative Components with Random Forests", ECCV 2014.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import UserError
from ..facts import Facts
from ..home import find_set
from ..listed import open_listed, read_json_list, require_plain
from ..source import Source
from . import sets

FACTS = Facts(101, 3, None, 75_750, test=25_250)
LISTS = {"train": "meta/train.json", "test": "meta/test.json"}


@sets.add("food101")
def food101() -> Source:
    """All of Food-101; looked for in $STROP_DATA and ./data, else downloaded (5 GB)."""
    folder = find_set(
        "food101", ["food-101"], _holds, files="the folders meta and images of food-101.tar.gz", fetch=_download
    )
    listed = {split: _read(folder / name) for split, name in LISTS.items()}
    classes = sorted(listed["train"])
    unknown = sorted(set(listed["test"]) - set(classes))
    if unknown:
        raise UserError(str(folder / LISTS["test"]), f"{unknown[0]!r} is no class of train. Fetch it again.")
    rows = {
        split: [(f"images/{name}.jpg", classes.index(dish)) for dish, names in dishes.items() for name in names]
        for split, dishes in listed.items()
    }
    return Source("food101", None, tuple(classes), open_listed(folder, rows))


def _holds(folder: Path) -> bool:
    return (folder / "images").is_dir() and all((folder / name).is_file() for name in LISTS.values())


def _read(file: Path) -> dict[str, list[str]]:
    """{"apple_pie": ["apple_pie/1005649", ...], ...}"""
    dishes = read_json_list(file)
    if not isinstance(dishes, dict) or not all(isinstance(names, list) for names in dishes.values()):
        raise UserError(str(file), "does not hold lists of pictures by class. Fetch it again.")
    return {require_plain(file, dish): [require_plain(file, name) for name in names] for dish, names in dishes.items()}


def _download(root: Path) -> None:
    from torchvision.datasets import Food101

    Food101(root, download=True)
