"""ImageNet (ILSVRC 2012): 1,281,167 training photographs and the 50,000 on which it is measured, 1,000 classes.

Source: Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", arXiv:1409.0575.
"""

from __future__ import annotations

from ..facts import Facts
from ..folder import open_folder
from ..home import find_set
from ..source import Source
from . import sets

FACTS = Facts(1_000, 3, None, 1_281_167, test=50_000)
_LAYOUTS = ["imagenet", "ILSVRC/Data/CLS-LOC"]


@sets.add("imagenet")
def imagenet() -> Source:
    """ImageNet by WordNet id; its 50,000 "val" pictures, by which everyone reports, are the test split here."""
    folder = find_set(
        "imagenet",
        _LAYOUTS,
        lambda place: all(any((place / split).glob("n[0-9]*/")) for split in ("train", "val")),
        files="train/n01440764/*.JPEG ... and val/n01440764/*.JPEG ... (each archive unpacked into a folder a class)",
    )
    # Nothing is chosen on pictures that are reported on; validation comes out of train, as everywhere.
    opened = open_folder(folder, name="imagenet", only=("train", "val"))
    return Source("imagenet", None, opened.classes, {"train": opened.splits["train"], "test": opened.splits["val"]})
