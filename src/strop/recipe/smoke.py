"""A recipe made small: every step runs, in seconds, and nothing it measures means anything.

What is changed is said, so that what was not tried out is known.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import Part
from ..models.choice import written_model
from ..steps.bench import Bench
from ..steps.options import TrainingOptions
from ..steps.prune import Prune
from ..steps.quantize import Quantize
from ..steps.train import Train
from ..writing import write_whole

if TYPE_CHECKING:
    from . import Recipe

log = logging.getLogger("strop")
BUNDLED = "fashion-mini"
TRAIN, TEST, CLASSES = 6, 3, 10  # pictures a class that are kept, and classes at the most
LARGEST_SIDE = 128
MOST_PARAMETERS = 2_000_000
STAND_INS = {
    "vit": "timm:test_vit",
    "swin": "timm:test_vit",
    "deit": "timm:test_vit",
    "efficientnet": "timm:test_vit",
}  # networks that timm tests with
ANY_OTHER = "timm:test_resnet"
HALF = "50%"
SMALL_RATE = 1e-3  # a rate meant for large batches can end in NaN within three updates of a few pictures
MOST_TIMED = 2  # float models are exported for it, some seconds each


def make_smoke(recipe: Recipe, root: Path, *, data: str | None = None) -> tuple[Recipe, list[str]]:
    """The recipe with small steps on a few pictures, which are written below `root`; and what was changed.

    Args:
        data: where the pictures are taken from (default: the bundled set).
    Raises:
        UserError: the data can't be opened.
    """
    from . import Recipe

    pictures, taken = _take_pictures(data or BUNDLED, root)
    changes = [taken]
    sides = sorted({side for step in recipe.steps if (side := getattr(_data_of(step), "input_size", None))})
    sizes = {side: max(32, 8 * round(side / 56)) for side in sides}
    steps = [_shrink(step, pictures, sizes, changes) for step in recipe.steps]
    if sides:
        changes.append("sizes: " + ", ".join(f"{side} px is {sizes[side]}" for side in sides))
    changes.append(f"one epoch of batches of 16 at a rate of {SMALL_RATE:g}; a phase, a fold, a round too")
    changes.append("no charts but those of the report at the end")
    if recipe.expect:
        changes.append("what the recipe expects is not held")
    small = Recipe(steps, name=f"{recipe.name}-smoke", grids=recipe.grids, charts=False)
    return small, list(dict.fromkeys(changes))


def _data_of(step: Any) -> Any:
    return step.data if isinstance(step, Train) else None


def _take_pictures(source: str, root: Path) -> tuple[Path, str]:
    """A new folder with a few pictures of each class in train/CLASS and test/CLASS, and what it holds.

    It is named after the set's fingerprint, so the same ones again find their files there, and no other is touched.
    """
    from ..data.dataset import open_data

    data = open_data(source, max_unreadable=None, near_copies=False, validation="0%", test="20%")
    folder, count = root / f"pictures-{data.fingerprint[-8:]}", 0
    names = data.classes[:CLASSES]
    for split, most in (("train", TRAIN), ("test", TEST)):
        labels = data.labels(split).tolist()
        for label in range(len(names)):
            for number, place in enumerate([i for i, found in enumerate(labels) if found == label][:most]):
                path = folder / split / f"{label:03}" / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    write_whole(path, _as_png(data.pixels(split, place)))
                count += 1
    return folder, f"{count} pictures of {len(names)} classes of {data.source.name} are the data"


def _as_png(pixels: Any) -> bytes:
    """At most 128 pixels a side."""
    import io

    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()


def _shrink(step: Any, pictures: Path, sizes: dict[int, int], changes: list[str]) -> Any:
    """The step as small as it goes. Its settings are checked again, like any step's."""
    settings = {name: value for name, value in step.settings().items() if value is not None}
    for name in [name for name, value in settings.items() if value == [] and name != "augment"]:
        del settings[name]  # an empty list that nobody wrote; of augmentations it means none
    if isinstance(step, TrainingOptions) and step.epochs is not None:
        settings |= {"epochs": 1, "batch_size": 16, "accumulate": min(step.accumulate, 2), "compile": False}
        settings |= {"lr": SMALL_RATE} if isinstance(step.lr, float) else {}
        settings |= {"warmup": 0.0} if step.warmup_epochs is not None else {}
        settings.pop("warmup_epochs", None)
    if isinstance(step, Train):
        settings |= _shrink_training(step, pictures, sizes, changes)
    if isinstance(step, Prune):
        settings |= _share(step, settings, changes)
    if isinstance(step, Quantize):
        settings |= {"images": 10}
        if settings.pop("max_drop", None) is not None:
            changes.append("quantize: max_drop is not held")
        if step.bytes is not None and step.bytes.share is None:
            settings["bytes"] = "60%"
            changes.append(f"quantize: {step.bytes.text} is 60% of the file")
    if isinstance(step, Bench):
        few = {"rounds": 5, "cold_starts": min(1, step.cold_starts)}
        settings |= few | {"parents": step.parents[:MOST_TIMED]}
        if len(step.parents) > MOST_TIMED:
            changes.append(f"{step.id or 'bench'}: times {MOST_TIMED} of {len(step.parents)} models")
    return type(step).model_validate(settings)


def _shrink_training(step: Train, pictures: Path, sizes: dict[int, int], changes: list[str]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "source": str(pictures),
        "validation": "34%",
        "near_copies": "false",
        "alpha": step.data.alpha,
    }
    if step.data.input_size:
        data["input_size"] = sizes[step.data.input_size]
    elif step.parent is None:
        data["input_size"] = 32
    if step.data.fold:
        data["fold"] = "1/2"
    found: dict[str, Any] = {"data": data, "audit": "off"}
    if step.model is not None:
        model, stands_in = _small_network(step.model)
        found["model"] = model
        if stands_in:
            changes.append(f"{written_model(step.model)} is {model}")
        if step.pretrained and (stands_in or not _can_be_had(step)):
            found |= {"pretrained": False, "normalize": "auto"}
            changes.append(f"{written_model(step.model)}: random weights, not the published ones")
    if step.phases:
        found["phases"] = [phase | {"epochs": 1} for phase in step.phases]
    for name in ("folds", "rotate"):
        if getattr(step, name, None):
            found[name] = 2
    return found


def _small_network(model: Part) -> tuple[Any, bool]:
    """The network itself where it is small, else one of the few that timm has for tests."""
    from ..models import known, resolve

    library, name = resolve(model.name)
    sizes = [info.parameters for info in known(name.partition(".")[0]) if info.library == library]
    if any(size is not None and size <= MOST_PARAMETERS for size in sizes):
        return {model.name: dict(model.options)} if model.options else model.name, False
    return next((small for word, small in STAND_INS.items() if word in name), ANY_OTHER), True


def _can_be_had(step: Train) -> bool:
    """Whether the weights are on this machine: a file that is there, or what torchvision fetched before."""
    if isinstance(step.pretrained, str):
        return Path(step.pretrained).is_file()
    from ..models import resolve

    library, name = resolve(step.model.name)
    if library == "timm":
        return False
    import torch
    import torchvision

    name = {"squeezenet": "squeezenet1_1", "shufflenet_v2": "shufflenet_v2_x1_0"}.get(name, name)
    with contextlib.suppress(ValueError):
        file = torchvision.models.get_model_weights(name).DEFAULT.url.rpartition("/")[2]
        return (Path(torch.hub.get_dir()) / "checkpoints" / file).is_file()
    return False


def _share(step: Prune, settings: dict[str, Any], changes: list[str]) -> dict[str, Any]:
    """Half of the parameters or MACs, in two rounds at the most: what a small network can be pruned to."""
    found: dict[str, Any] = {} if step.method == "unstructured" else {"round_to": 1}
    if settings.pop("depth", None) is not None:
        found["params"] = HALF
        changes.append(f"prune: {step.depth} blocks out is {HALF} of params")
    for kind in ("params", "macs", "bytes", "latency"):
        budget = getattr(step, kind)
        if budget is not None and (kind, budget.text) != ("params", HALF):
            settings.pop(kind)
            found["macs" if kind == "macs" else "params"] = HALF
            was = budget.text if kind == "bytes" else f"{budget.text} of {kind}"
            changes.append(f"prune: {was} is {HALF}" + " of params" * (kind in ("bytes", "latency")))
    return found | {"rounds": min(step.rounds, 2), "epochs": min(step.rounds, 2)}
