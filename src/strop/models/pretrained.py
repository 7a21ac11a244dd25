"""Put weights that exist already into a freshly built network.

We read .safetensors only. Published weights go through torchvision's and timm's own loaders.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..errors import UserError
from ..fetching import NotFetched, explain, hub_if_it_answers, short_wait
from .resizing import resize_positions

log = logging.getLogger("strop")
SHOW = 8
HEAD_SD = 0.01
ELSEWHERE = "Connect to the network, or write the path of a local .safetensors file."
EXTRA_HEADS = ("AuxLogits.", "aux1.", "aux2.")


def head_names(model: nn.Module, num_classes: int) -> list[str]:
    """The names of the layers that give the logits: the last one with `num_classes` outputs, or what timm says.

    Example:
        >>> head_names(torchvision.models.resnet18(num_classes=10), 10)
        ['fc']
    """
    said = (getattr(model, "pretrained_cfg", None) or {}).get("classifier") or ()
    named = [said] if isinstance(said, str) else list(said)
    modules = dict(model.named_modules())
    found = [name for name in named if _outputs(modules.get(name)) == num_classes]
    return found or [name for name, module in modules.items() if _outputs(module) == num_classes][-1:]


def head_places(model: nn.Module, num_classes: int) -> list[str]:
    """The modules that are new for other classes: those that give the logits, or a head of several layers."""
    whole = getattr(model, "whole_head", None)
    return [whole] if whole else head_names(model, num_classes)


def begin_head(model: nn.Module, num_classes: int) -> None:
    """Small weights for the layers that give the logits: normal with sd 0.01, no bias.

    Some libraries draw them so large that what the head learns beside a trained body drowns in what it began with:
    timm's EfficientNet from +-1 / sqrt(K), which is 0.41 for six classes (docs/log.md).

    Source: torchvision's last layers of MobileNetV2 and SqueezeNet. Unlike zeros, it moves behind a ReLU too.
    """
    for name in head_names(model, num_classes):
        head = model.get_submodule(name)
        nn.init.normal_(head.weight, std=HEAD_SD)
        if head.bias is not None:
            nn.init.zeros_(head.bias)


def _outputs(module: nn.Module | None) -> int | None:
    if isinstance(module, nn.Linear):
        return module.out_features
    return module.out_channels if isinstance(module, nn.Conv2d) else None


def load_file(model: nn.Module, path: Path, num_classes: int) -> list[str]:
    """Load a local .safetensors file strictly; a head for another number of classes stays fresh and is logged.

    Returns:
        the names of the tensors that stayed fresh.
    Raises:
        UserError: no such file, another format, or tensors that are missing, unexpected or of another shape.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file as read

    if path.suffix != ".safetensors":
        problem = f"'{path}' is not a .safetensors file. strop reads no pickle; convert it, or write `true`."
        raise UserError("pretrained", problem)
    if not path.is_file():
        raise UserError("pretrained", f"there is no file '{path}'. Write the path of a .safetensors file, or `true`.")
    try:
        tensors = read(path)
    except SafetensorError as error:
        raise UserError("pretrained", f"'{path}' is damaged: {error}. Copy it again.") from error
    fresh = load_tensors(model, tensors, num_classes, str(path))
    if fresh:
        heads = dict.fromkeys(name.rpartition(".")[0] for name in fresh)
        log.info("  new head %s; the file's is for other classes", ", ".join(heads))
    return fresh


def load_tensors(
    model: nn.Module,
    tensors: dict[str, Tensor],
    num_classes: int,
    where: str,
    *,
    new_head: bool = False,
    advice: str = "Write the name and options of the model that was saved.",
) -> list[str]:
    """Copy `tensors` into `model` strictly; returns the tensors of a head that did not fit and stayed fresh.

    What depends on the input size is interpolated, see `resizing`.

    Args:
        new_head: the head stays fresh even where it would fit.
        advice: ends the message where something does not fit.
    Raises:
        UserError: tensors that are missing, unexpected or of another shape, listed. Nothing was copied then.
    """
    tensors = resize_positions(tensors, model)
    wanted = model.state_dict()
    places = tuple(f"{place}." for place in head_places(model, num_classes))
    heads = [name for name in wanted if name.startswith(places)]
    fresh = [n for n in heads if new_head or _has_other_classes(tensors.get(n), wanted.get(n))]
    if getattr(model, "whole_head", None) and (fresh or {n for n in tensors if n.startswith(places)} != set(heads)):
        fresh, tensors = heads, {name: tensor for name, tensor in tensors.items() if not name.startswith(places)}
    tensors = {name: tensor for name, tensor in tensors.items() if name not in fresh}
    # Old files lack these counters; torch fills them in itself.
    missing = [n for n in wanted if n not in tensors and n not in fresh and not n.endswith(".num_batches_tracked")]
    problems = [f"'{name}' is missing in the file." for name in missing]
    problems += [f"'{name}' is in the file but not in the model." for name in tensors if name not in wanted]
    problems += [
        f"'{name}' is {list(tensor.shape)} in the file but {list(wanted[name].shape)} in the model."
        for name, tensor in tensors.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    if problems:
        more = [f"... and {len(problems) - SHOW} more tensors."] if len(problems) > SHOW else []
        raise UserError(where, *problems[:SHOW], *more, advice)
    model.load_state_dict(tensors, strict=False)
    if fresh:
        begin_head(model, num_classes)
    return fresh


def _has_other_classes(theirs: Tensor | None, ours: Tensor | None) -> bool:
    return theirs is not None and ours is not None and theirs.shape[1:] == ours.shape[1:] and len(theirs) != len(ours)


def load_torchvision(model: nn.Module, name: str, num_classes: int, options: dict[str, Any]) -> None:
    """Load torchvision's default weights.

    Raises:
        UserError: the file can't be had.
    """
    import torchvision

    weights = torchvision.models.get_model_weights(name).DEFAULT
    try:
        with short_wait():
            published = torchvision.models.get_model(name, weights=weights, **options)
    except (OSError, RuntimeError) as error:
        raise NotFetched("pretrained", weights.url.rpartition("/")[2], explain(error), ELSEWHERE) from error
    tensors = {key: tensor for key, tensor in published.state_dict().items() if not key.startswith(EXTRA_HEADS)}
    load_tensors(model, tensors, num_classes, f"torchvision:{name}")


def create_timm(name: str, num_classes: int, config: Any, options: dict[str, Any]) -> nn.Module:
    """A timm model with its published weights and, where the classes differ, a fresh head.

    Raises:
        UserError: there are no such weights, or they can't be had.
    """
    import timm

    if not config.has_weights:
        tagged = timm.list_pretrained(f"{name.partition('.')[0]}*")
        hint = f"Published: {', '.join(tagged[:SHOW])}." if tagged else "Write the path of a .safetensors file."
        raise UserError("pretrained", f"there are no published weights for 'timm:{name}'. {hint}")
    with hub_if_it_answers() as silent, short_wait():
        try:
            model = timm.create_model(name, pretrained=True, num_classes=num_classes, in_chans=3, **options)
        except OSError as error:
            file = f"{config.architecture}.{config.tag}" if config.tag else config.architecture
            reason = " ".join(silent) or explain(error)
            raise NotFetched("pretrained", f"{file} (model.safetensors)", reason, ELSEWHERE) from error
    if num_classes != config.num_classes:
        begin_head(model, num_classes)
    return model
