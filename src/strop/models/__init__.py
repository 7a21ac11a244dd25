"""Find a network by name, our own or one of torchvision's and timm's, and build it.

Names and sizes come from the source of this folder and from `index.json` (written by
tools/make_model_index.py), so nothing here imports torch before something is built.
"""

from __future__ import annotations

import difflib
import fnmatch
import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError, suggest
from ..registry import Registry

if TYPE_CHECKING:
    from torch import nn

models = Registry("model", __name__, __path__)

PREFIXES = {"tv": "torchvision", "timm": "timm"}
IMAGENET_CLASSES = 1000
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
# Their published weights want [-1, 1]; torchvision hides that in a `transform_input` that we leave off.
HALVES = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
WANT_HALVES = ("googlenet", "inception_v3")
# What a builder takes besides its options, and why the user can't give it there. Some of these read files.
_DECIDED, _WEIGHTS, _LOGITS = (
    "the data and the input size decide it",
    "--pretrained names weights",
    "it gives no logits",
)
NOT_OPTIONS = (
    dict.fromkeys(("num_classes", "in_chans", "in_channels", "input_size", "img_size", "image_size"), _DECIDED)
    | dict.fromkeys(("pretrained", "weights", "weights_backbone", "checkpoint_path", "cache_dir"), _WEIGHTS)
    | dict.fromkeys(("pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict"), _WEIGHTS)
    | dict.fromkeys(("features_only", "out_indices"), _LOGITS)
)


@dataclass(frozen=True)
class ModelInfo:
    """A network that can be built by name.

    Attributes:
        library: "strop", "torchvision" or "timm".
        parameters, macs: at 1000 classes and `input_size`, in the convention of measure.complexity; None if not known.
        input_size: pixels a side that the network is meant for.
        weights: where published weights come from: "torchvision", "timm" (its hub) or None.
    """

    name: str
    library: str
    parameters: int | None
    macs: int | None
    input_size: int
    weights: str | None


def known(pattern: str | None = None) -> list[ModelInfo]:
    """Every model that can be built, in the order in which names are looked up.

    Args:
        pattern: a glob such as "resnet*" or "timm:vit_*", or a part of the name.

    Example:
        >>> [info.library for info in known("resnet18")]
        ['torchvision', 'timm']
    """
    found = list(_all().values())
    if pattern is None:
        return found
    if not set(pattern) & set("*?["):
        exact = [info for info in found if pattern in (info.name, _prefixed(info))]
        if exact:
            return exact
        pattern = f"*{pattern}*"
    return [info for info in found if any(fnmatch.fnmatch(name, pattern) for name in (info.name, _prefixed(info)))]


def resolve(name: str) -> tuple[str, str]:
    """The library and the name there that `name` stands for.

    "tv:NAME" and "timm:NAME" say the library; a bare name is looked up in strop's own models, then in
    torchvision, then in timm. A timm name may carry the tag of its weights ("resnet18.a1_in1k").

    Raises:
        UserError: nothing has this name.

    Example:
        >>> resolve("resnet18"), resolve("timm:resnet18")
        (('torchvision', 'resnet18'), ('timm', 'resnet18'))
    """
    prefix, colon, rest = name.partition(":")
    if colon and prefix not in PREFIXES:
        raise UserError("model", f"'{name}': '{prefix}:' is no library. Write tv:NAME, timm:NAME or NAME alone.")
    libraries = [PREFIXES[prefix]] if colon else ["strop", "torchvision", "timm"]
    bare, everything = (rest if colon else name), _all()
    for library in libraries:
        if (library, _without_tag(library, bare)) in everything:
            return library, bare
    names = {there for library, there in everything if library in libraries}
    near = difflib.get_close_matches(bare, names, n=8, cutoff=0.5)
    guess = f"{suggest(bare, near)} " if near else ""
    raise UserError("model", f"'{name}' is unknown. {guess}`strop models` lists all {len(names)}.")


def default_input_size(name: str) -> int:
    """Pixels a side that the network is meant for: of its published weights, or of its own definition.

    Raises:
        UserError: nothing has this name.
    """
    library, name = resolve(name)
    base = _without_tag(library, name)
    if base != name:
        from . import building

        return building.timm_input_size(name)
    return _all()[library, base].input_size


def preprocessing(name: str, pretrained: bool | str | Path) -> dict[str, list[float]] | None:
    """The mean and std (of pixels in [0, 1], red green blue) that published weights expect; None without weights.

    Raises:
        UserError: nothing has this name.

    Example:
        >>> preprocessing("resnet18", pretrained=True)["mean"]
        [0.485, 0.456, 0.406]
    """
    library, name = resolve(name)
    if not pretrained:
        return None
    if library == "strop":
        return {key: list(values) for key, values in IMAGENET.items()} if _all()[library, name].weights else None
    if library == "torchvision":
        chosen = HALVES if name in WANT_HALVES else IMAGENET
        return {key: list(values) for key, values in chosen.items()}
    from . import building

    return building.timm_preprocessing(name)


def published_outputs(name: str) -> int | None:
    """How many classes the published weights of a network answer; None where it has none.

    Raises:
        UserError: nothing has this name.
    """
    library, name = resolve(name)
    if library == "timm":
        from . import building

        return building.timm_outputs(name)
    return IMAGENET_CLASSES if _all()[library, name].weights else None


def build(
    name: str,
    *,
    num_classes: int,
    in_chans: int = 3,
    input_size: int | None = None,
    pretrained: bool | str | Path = False,
    **options: Any,
) -> nn.Module:
    """Build the network `name` with a head of `num_classes`.

    Args:
        name: see `resolve`.
        num_classes: width of the output, K.
        in_chans: channels of a picture. Published weights want 3: repeat grey pictures to three channels.
        input_size: pixels a side, for networks that have to know it; None: `default_input_size(name)`.
        pretrained: True for the library's default weights, or the path of a local .safetensors file. All tensors
            must fit, except those of a head for another number of classes, which stays freshly initialised.
        options: what the library's (or our) builder takes besides, e.g. dropout=0.2.
    Raises:
        UserError: an unknown name or option; weights that don't fit or can't be had.

    Example:
        >>> sum(p.numel() for p in build("cnn3", num_classes=100).parameters())
        168036
    """
    from . import building

    library, name_there = resolve(name)
    wrong = refused(options)
    if wrong:  # they may come out of a file, and checkpoint_path, say, would have timm read another one
        raise UserError(f"model {name}", *wrong)
    size = input_size or default_input_size(name)
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}  # of a file
    return building.build(library, name_there, num_classes, in_chans, size, pretrained, options)


def refused(options: Iterable[str]) -> list[str]:
    """Why some of `options` are no options of a network, a sentence each."""
    return [f"'{key}' is not an option of a network: {NOT_OPTIONS[key]}." for key in options if key in NOT_OPTIONS]


def written(info: ModelInfo) -> str:
    """The shortest name that `resolve` takes for this model: bare where that means it, else with its library."""
    return info.name if resolve(info.name)[0] == info.library else _prefixed(info)


def _prefixed(info: ModelInfo) -> str:
    prefix = {library: prefix for prefix, library in PREFIXES.items()}.get(info.library, info.library)
    return f"{prefix}:{info.name}"


def _without_tag(library: str, name: str) -> str:
    return name.partition(".")[0] if library == "timm" else name


@functools.cache
def _index() -> dict[tuple[str, str], ModelInfo]:
    content = json.loads(Path(__file__).with_name("index.json").read_text(encoding="utf-8"))
    return {(line["library"], line["name"]): ModelInfo(**line) for line in content["models"]}


def _all() -> dict[tuple[str, str], ModelInfo]:
    """Our own models as the folder has them now, with their numbers where the index has any; then the index."""
    index, own = _index(), {}
    for entry in models.entries().values():
        size = entry.options["input_size"].default
        own["strop", entry.name] = index.get(
            ("strop", entry.name), ModelInfo(entry.name, "strop", None, None, size, None)
        )
    return own | {key: info for key, info in index.items() if key[0] != "strop"}
