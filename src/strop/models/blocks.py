"""Residual blocks that can go as a whole: what they get is what they would hand on."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def removable_blocks(net: nn.Module, example_input: Tensor) -> list[str]:
    """The names of the blocks that `remove_blocks` can take out, in module order.

    A block can go if it is one of several parts of an `nn.Sequential`, and hands its input on where all of its
    parameters are zero: then it has a shortcut around all that it computes, and nothing that changes the shape. So
    no family has to be known by name: basic blocks, bottlenecks, inverted residuals and encoder blocks all answer.
    Where a part is made of such blocks (a stage), the blocks count.

    Args:
        example_input: (B, C, H, W) float pictures that the network accepts.

    Example:
        >>> removable_blocks(torchvision.models.resnet18(), torch.zeros(1, 3, 64, 64))
        ['layer1.0', 'layer1.1', 'layer2.1', 'layer3.1', 'layer4.1']
    """
    double = copy.deepcopy(net).eval()
    found = [
        name for name, given in _inputs(double, example_input).items() if _hands_on(double.get_submodule(name), given)
    ]
    return [name for name in found if not any(other.startswith(f"{name}.") for other in found)]


def remove_blocks(net: nn.Module, names: Iterable[str]) -> None:
    """Take blocks out of their sequences, in place; the others keep their names.

    Raises:
        ValueError: one of them is no part of an `nn.Sequential` of several, so that nothing would be left there.
    """
    names = list(names)
    for name in names:
        owner, _, leaf = name.rpartition(".")
        sequence = dict(net.named_modules()).get(owner)
        if type(sequence) is not nn.Sequential or leaf not in sequence._modules or len(sequence) < 2:
            raise ValueError(f"'{name}' is no block that can be removed")
        del sequence._modules[leaf]
    fixed = getattr(net, "fixed_widths", ())
    if fixed:  # of resnet20 and its kind: layers whose width must stay
        net.fixed_widths = tuple(name for name in fixed if not name.startswith(tuple(f"{n}." for n in names)))


@contextmanager
def without(net: nn.Module, name: str) -> Iterator[None]:
    """The network with one block passed over, while the block stays where it is."""
    block = net.get_submodule(name)
    skip = block.register_forward_hook(lambda _, given, output: given[0])
    try:
        yield
    finally:
        skip.remove()


@contextmanager
def influences(net: nn.Module, names: Iterable[str]) -> Iterator[dict[str, list[float]]]:
    """Within the block, note for every picture that passes how much each block turns it.

    influence = 1 - cos(input, output), over all channels and positions of a picture; the mean over pictures is the
    block influence.

    Source: Men et al., "ShortGPT: Layers in Large Language Models are More Redundant Than You Expect", 2024,
    arXiv:2403.03853. Unlike it: the angle is that of a picture's whole map, not of each token.

    Yields:
        name -> one number a picture, in [0, 2].
    """
    noted: dict[str, list[float]] = {name: [] for name in names}

    def watch(name: str) -> Any:
        def note(_: nn.Module, given: tuple, output: Tensor) -> None:
            cosine = nn.functional.cosine_similarity(given[0].flatten(1).float(), output.flatten(1).float())
            noted[name] += (1 - cosine).tolist()

        return note

    hooks = [net.get_submodule(name).register_forward_hook(watch(name)) for name in noted]
    try:
        yield noted
    finally:
        for hook in hooks:
            hook.remove()


def _inputs(net: nn.Module, example_input: Tensor) -> Mapping[str, Tensor]:
    """What flows into each part of a sequence that has layers with weights, in module order."""
    parts = [
        f"{owner}.{leaf}".lstrip(".")
        for owner, sequence in net.named_modules()
        if type(sequence) is nn.Sequential and len(sequence) > 1
        for leaf, part in sequence.named_children()
        if any(parameter.ndim > 1 for parameter in part.parameters())
    ]
    inputs: dict[str, Tensor] = {}

    def watch(name: str) -> Any:
        return lambda _, given: inputs.update({name: given[0].detach().clone()}) if len(given) == 1 else None

    hooks = [net.get_submodule(name).register_forward_pre_hook(watch(name)) for name in parts]
    net(example_input)
    for hook in hooks:
        hook.remove()
    return {name: inputs[name] for name in parts if isinstance(inputs.get(name), Tensor)}


def _hands_on(block: nn.Module, given: Tensor) -> bool:
    block = copy.deepcopy(block)
    for parameter in block.parameters():
        parameter.zero_()
    try:
        output = block(given.clone())
    except (RuntimeError, ValueError, TypeError):
        return False
    return (
        isinstance(output, Tensor) and output.shape == given.shape and bool(given.any()) and torch.equal(output, given)
    )
