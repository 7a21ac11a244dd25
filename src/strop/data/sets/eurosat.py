"""EuroSAT: 27,000 satellite pictures of ten kinds of land, 64 x 64, without a split of its own.

Source: Helber et al., "EuroSAT: A Novel Dataset and Deep Learning Benchmark for Land Use and Land Cover
Classification", arXiv:1709.00029.
"""

from __future__ import annotations

from pathlib import Path

from ..facts import Facts
from ..folder import open_folder
from ..home import find_set
from ..source import Source
from . import sets

FACTS = Facts(10, 3, 64, 27_000)
CLASSES = (
    "AnnualCrop",
    "Forest",
    "HerbaceousVegetation",
    "Highway",
    "Industrial",
    "Pasture",
    "PermanentCrop",
    "Residential",
    "River",
    "SeaLake",
)


@sets.add("eurosat")
def eurosat() -> Source:
    """All of EuroSAT in colour, no test split; looked for in $STROP_DATA and ./data, else downloaded."""
    folder = find_set(
        "eurosat",
        ["eurosat/2750", "eurosat/EuroSAT_RGB"],
        lambda place: all((place / name).is_dir() for name in CLASSES),
        files="the ten class folders of EuroSAT.zip",
        fetch=_download,
    )
    return open_folder(folder, name="eurosat")


def _download(root: Path) -> None:
    from torchvision.datasets import EuroSAT

    EuroSAT(root, download=True)
