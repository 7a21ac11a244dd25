"""What a network computes at the end of each of its stages, as maps of channels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .stages import stage_of_tensors


class End(NamedTuple):
    """Where a stage ends.

    Attributes:
        path: the module whose output is the last of the stage.
        channels, height, width: of that output, as `as_map` has it.
    """

    path: str
    channels: int
    height: int
    width: int


@torch.no_grad()
def stage_ends(net: nn.Module, num_classes: int, pictures: Tensor) -> dict[str, End]:
    """The ends of all stages but the head, from the input to the output.

    A stage's end is the output of the module that is called last among those that hold weights of this stage only.
    What has no weights belongs to no stage, so a nonlinearity that stands by itself comes after it.

    Args:
        pictures: (B, C, H, W) that the network accepts; it is called with them once, in eval mode.

    Example:
        >>> stage_ends(torchvision.models.resnet18(num_classes=10), 10, torch.zeros(2, 3, 64, 64))["layer3"]
        End(path='layer3', channels=256, height=4, width=4)
    """
    places = stage_of_tensors(net, num_classes)
    found: dict[str, End] = {}

    def note(path: str, stage: str, output: object) -> None:
        if isinstance(output, Tensor) and 2 <= output.ndim <= 4:
            found[stage] = End(path, *as_map(output).shape[1:])

    hooks = [
        module.register_forward_hook(lambda _, __, output, path=path, stage=stage: note(path, stage, output))
        for path, module, stage in _whole_parts(net, places)
        if stage != "head"
    ]
    was_training = [module for module in net.modules() if module.training]
    try:
        net.eval()(pictures)
    finally:
        for hook in hooks:
            hook.remove()
        for module in was_training:
            module.training = True
    return {stage: found[stage] for stage in dict.fromkeys(places.values()) if stage in found}


def _whole_parts(net: nn.Module, places: dict[str, str]) -> Iterator[tuple[str, nn.Module, str]]:
    """The largest modules whose tensors are all of one stage: (path, module, stage)."""
    taken: tuple[str, ...] = ()
    for path, module in net.named_modules():
        inside = {stage for name, stage in places.items() if name.startswith(f"{path}.")}
        if path and len(inside) == 1 and not path.startswith(taken or "\0"):
            taken += (f"{path}.",)
            yield path, module, inside.pop()


def as_map(output: Tensor) -> Tensor:
    """What a stage gives as (B, C, H, W).

    A vector (B, C) is a map of one position; tokens (B, T, C) are the largest square that they fill, without those
    before it (class token, registers); (B, H, W, C), as Swin has it, is told by its equal sides.
    """
    if output.ndim == 2:
        return output[:, :, None, None]
    if output.ndim == 3:
        side = math.isqrt(output.shape[1])
        return output[:, output.shape[1] - side**2 :].transpose(1, 2).unflatten(2, (side, side))
    _, first, second, third = output.shape
    return output.permute(0, 3, 1, 2) if first == second != third else output


@contextmanager
def watched(net: nn.Module, paths: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Within the block the dict holds what the modules at `paths` gave last, as maps."""
    seen: dict[str, Tensor] = {}
    hooks = [net.get_submodule(path).register_forward_hook(partial(_keep, seen, path)) for path in paths]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _keep(seen: dict[str, Tensor], path: str, _module: nn.Module, _inputs: tuple, output: Tensor) -> None:
    seen[path] = as_map(output)
