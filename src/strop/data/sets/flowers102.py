"""Flowers-102: 1,020 training, 1,020 validation and 6,149 test photographs of flowers, 102 kinds.

Source: Nilsback, Zisserman, "Automated Flower Classification over a Large Number of Classes", ICVGIP 2008.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import UserError
from ..facts import Facts
from ..home import find_set
from ..listed import open_listed
from ..mat import read_mat
from ..source import Source
from . import sets

FACTS = Facts(102, 3, None, 1_020, 1_020, 6_149)
SPLITS = {"train": "trnid", "val": "valid", "test": "tstid"}
CLASSES = """
pink primrose; hard-leaved pocket orchid; canterbury bells; sweet pea; english marigold; tiger lily; moon orchid;
bird of paradise; monkshood; globe thistle; snapdragon; colt's foot; king protea; spear thistle; yellow iris;
globe-flower; purple coneflower; peruvian lily; balloon flower; giant white arum lily; fire lily; pincushion flower;
fritillary; red ginger; grape hyacinth; corn poppy; prince of wales feathers; stemless gentian; artichoke;
sweet william; carnation; garden phlox; love in the mist; mexican aster; alpine sea holly; ruby-lipped cattleya;
cape flower; great masterwort; siam tulip; lenten rose; barbeton daisy; daffodil; sword lily; poinsettia;
bolero deep blue; wallflower; marigold; buttercup; oxeye daisy; common dandelion; petunia; wild pansy; primula;
sunflower; pelargonium; bishop of llandaff; gaura; geranium; orange dahlia; pink-yellow dahlia; cautleya spicata;
japanese anemone; black-eyed susan; silverbush; californian poppy; osteospermum; spring crocus; bearded iris;
windflower; tree poppy; gazania; azalea; water lily; rose; thorn apple; morning glory; passion flower; lotus; toad lily;
anthurium; frangipani; clematis; hibiscus; columbine; desert-rose; tree mallow; magnolia; cyclamen; watercress;
canna lily; hippeastrum; bee balm; ball moss; foxglove; bougainvillea; camellia; mallow; mexican petunia; bromelia;
blanket flower; trumpet creeper; blackberry lily
"""


@sets.add("flowers102")
def flowers102() -> Source:
    """All of Flowers-102 in its own three splits; looked for in $STROP_DATA and ./data, else downloaded."""
    folder = find_set(
        "flowers102",
        ["flowers-102"],
        _holds,
        files="imagelabels.mat, setid.mat and the folder jpg of 102flowers.tgz",
        fetch=_download,
    )
    classes = tuple(name.strip() for name in CLASSES.split(";"))
    labels = _read(folder / "imagelabels.mat", "labels", len(classes))
    rows = {}
    for split, key in SPLITS.items():
        numbers = _read(folder / "setid.mat", key, len(labels))
        rows[split] = [(f"jpg/image_{number:05d}.jpg", labels[number - 1] - 1) for number in numbers]
    return Source("flowers102", None, classes, open_listed(folder, rows))


def _holds(folder: Path) -> bool:
    return (folder / "jpg").is_dir() and all((folder / name).is_file() for name in ("imagelabels.mat", "setid.mat"))


def _read(file: Path, key: str, most: int) -> list[int]:
    """A row of whole numbers from 1 to `most`."""
    numbers = read_mat(file, {key: 2})[key].ravel()
    if numbers.size and not (numbers.min() >= 1 and numbers.max() <= most):
        raise UserError(
            str(file), f"{key} goes from {numbers.min()} to {numbers.max()}; expected 1 to {most}. Fetch it again."
        )
    return numbers.astype(int).tolist()


def _download(root: Path) -> None:
    from torchvision.datasets import Flowers102

    Flowers102(root, download=True)
