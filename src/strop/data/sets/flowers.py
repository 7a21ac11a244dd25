"""Flowers: 3,670 photographs of five kinds of flowers, without a split of its own.

Source: The TensorFlow Team, "Flowers", 2019 (flower_photos.tgz).
"""

from __future__ import annotations

import logging
from pathlib import Path

from ..facts import Facts
from ..folder import open_folder
from ..home import find_set
from ..source import Source
from . import sets

FACTS = Facts(5, 3, None, 3_670)
COUNTS = {"daisy": 633, "dandelion": 898, "roses": 641, "sunflowers": 699, "tulips": 799}
log = logging.getLogger("strop")


@sets.add("flowers")
def flowers() -> Source:
    """The five kinds of flower_photos, no test split; looked for in $STROP_DATA and ./data."""
    folder = find_set("flowers", ["flower_photos"], _holds, files="the five class folders of flower_photos.tgz")
    source = open_folder(folder, name="flowers")
    counts = {name: int((source.splits["train"].labels == i).sum()) for i, name in enumerate(source.classes)}
    if counts != COUNTS:
        log.warning("flowers: %s holds %s pictures; the published set has %s", folder, counts, COUNTS)
    return source


def _holds(folder: Path) -> bool:
    return all((folder / name).is_dir() for name in COUNTS)
