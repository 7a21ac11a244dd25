"""Embeddings of pictures for the audit: what a pretrained network passes to its last layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from ..errors import UserError
from ..fetching import NotFetched
from .step import log

if TYPE_CHECKING:
    import numpy as np

    from ..audit.collection import Collection
    from ..audit.crops import Embed

SMALL = "timm:tf_efficientnet_lite0"
_PIXELS, _BATCH, _CLASSES = 128, 32, 1000


def read_embedding(value: Any) -> str | None:
    """Check, without torch, that a network is named; see `split_embedding`."""
    from ..models import resolve

    if value is None:
        return None
    try:
        resolve(split_embedding(str(value))[0])
    except UserError as error:
        hint = "Write a network, NETWORK=FILE.safetensors, or a file called like its network."
        raise ValueError(f"{' '.join(error.problems)} {hint}") from None
    return str(value)


EmbeddingField = Annotated[str | None, BeforeValidator(read_embedding)]


def split_embedding(text: str) -> tuple[str, bool | str]:
    """The network, and where its weights are: True for those of its library.

    Example:
        >>> split_embedding("auto"), split_embedding("weights/squeezenet1_1.fp16.safetensors")[0]
        (('timm:tf_efficientnet_lite0', True), 'squeezenet1_1')
    """
    if text == "auto":
        return SMALL, True
    if not text.endswith(".safetensors"):
        return text, True
    name, equals, path = text.partition("=")
    return (name, path) if equals else (Path(text).name.partition(".")[0], text)


def make_embed(text: str) -> Embed:
    """The function that an audit calls with its pictures. Loads the network now.

    Raises:
        UserError: the weights can't be had, or don't fit.
    """
    import torch

    from .. import models
    from ..models.pretrained import head_names

    name, pretrained = split_embedding(text)
    try:
        net = models.build(name, num_classes=_CLASSES, pretrained=pretrained, input_size=_PIXELS).eval()
    except NotFetched as error:
        file = f"{name.removeprefix('timm:')}=FILE.safetensors"
        advice = f"Connect to the network, write --embeddings {file}, or leave it out: it searches for crops only."
        raise error.advising(f"--embeddings {text}", advice) from None
    known = models.preprocessing(name, pretrained) or {"mean": [0.5] * 3, "std": [0.5] * 3}
    mean, std = (torch.tensor(known[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    passed: list[torch.Tensor] = []
    head = net.get_submodule(head_names(net, _CLASSES)[0])
    head.register_forward_pre_hook(lambda module, inputs: passed.append(inputs[0]))

    def embed(collection: Collection, places: np.ndarray) -> np.ndarray:
        log.info("%s pictures go through %s", f"{len(places):,}", name)
        found = []
        with torch.inference_mode():
            for start in range(0, len(places), _BATCH):
                images = _read(collection, places[start : start + _BATCH].tolist())
                passed.clear()
                net((images.float() / 255 - mean) / std)
                vectors = passed[-1]
                found.append(vectors.flatten(2).mean(2) if vectors.ndim == 4 else vectors.flatten(1))
        return torch.nn.functional.normalize(torch.cat(found).float()).numpy()

    return embed


def _read(collection: Collection, places: list[int]) -> Any:
    """Whole pictures as squares, their proportions given up: a crop keeps the part of each side that it shows."""
    import numpy as np
    import torch

    from ..data.phash import shrink

    pictures = []
    for place in places:
        small = shrink(collection.pixels(place), _PIXELS)
        small = small[:, :, None] if small.ndim == 2 else small
        pictures.append(np.repeat(small, 3, axis=2) if small.shape[2] == 1 else small)
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
