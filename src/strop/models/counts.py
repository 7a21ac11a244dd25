"""What a model will count after channels were removed, by arithmetic: no model is cut.

A parameter tensor loses `r` rows of one dimension for every channel that a group gives up, so

    numel = prod over dimensions d of (size_d - sum over groups g of r[d, g] * removed[g])

and the multiply-accumulates of a convolution or linear layer are numel(weight) times the positions it is applied at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..measure.complexity import count_macs
from .tied import to_bytes
from .tracing import Group

Counter = Callable[[Sequence[int] | np.ndarray], int]


def parameter_counter(model: nn.Module, groups: Sequence[Group]) -> Counter:
    """A function from the channels removed of each group (in the order of `groups`) to the parameters that remain.

    Exact, and takes microseconds: made for a search that asks thousands of times.

    Example:
        >>> count = parameter_counter(model, groups)
        >>> count(np.zeros(len(groups), dtype=int)) == sum(p.numel() for p in model.parameters())
        True
    """
    return _counter(model, groups, {name: 1 for name, _ in model.named_parameters()})


def mac_counter(model: nn.Module, groups: Sequence[Group], example_input: Tensor) -> Counter:
    """The same for the multiply-accumulates of one picture, in the convention of measure.complexity.

    What is not done by convolution and linear layers (attention) does not depend on groups and is a constant.

    Args:
        example_input: (B, C, H, W); one forward pass shows at how many positions each layer is applied.
    """
    positions = _positions(model, example_input)
    count = _counter(model, groups, positions)
    in_layers = count(np.zeros(len(groups), dtype=np.int64))
    elsewhere = count_macs(model, tuple(example_input.shape[1:])) - in_layers
    return lambda removed: elsewhere + count(removed)


def byte_counter(model: nn.Module, groups: Sequence[Group]) -> Counter:
    """The same for the bytes of model.safetensors: parameters, running statistics, and the list of the tensors.

    Exact for the whole model. After a removal the list has shorter numbers in it, so that the file is up to some
    bytes a tensor smaller than what is said here, never larger.
    """
    sizes = {name: parameter.element_size() for name, parameter in model.named_parameters()}
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and module.affine and module.track_running_stats:
            kept = module.running_mean.element_size() + module.running_var.element_size()
            sizes[f"{name}.weight"] += kept  # they lose the rows that the scale loses
    count = _counter(model, groups, sizes)
    rest = stored_bytes(model) - count(np.zeros(len(groups), dtype=np.int64))
    return lambda removed: rest + count(removed)


def stored_bytes(model: nn.Module) -> int:
    """How large model.safetensors is, as `artifact.save` writes it."""
    return len(to_bytes(model.state_dict()))


def predict_parameters(model: nn.Module, groups: Sequence[Group], removed_counts: Mapping[str, int]) -> int:
    """The parameters that remain when each named group loses that many channels."""
    return parameter_counter(model, groups)(_vector(groups, removed_counts))


def predict_macs(
    model: nn.Module, groups: Sequence[Group], removed_counts: Mapping[str, int], example_input: Tensor
) -> int:
    """The multiply-accumulates that remain, for one picture."""
    return mac_counter(model, groups, example_input)(_vector(groups, removed_counts))


def _vector(groups: Sequence[Group], removed_counts: Mapping[str, int]) -> np.ndarray:
    unknown = sorted(set(removed_counts) - {group.name for group in groups})
    if unknown:
        raise ValueError(f"there are no groups {unknown}; the groups are {[group.name for group in groups]}")
    return np.array([removed_counts.get(group.name, 0) for group in groups], dtype=np.int64)


def _counter(model: nn.Module, groups: Sequence[Group], factors: Mapping[str, int]) -> Counter:
    """sum over tensors of factor * numel; only tensors that some group touches are looked at again."""
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters() if name in factors}
    rows: dict[tuple[str, int], np.ndarray] = {}
    for column, group in enumerate(groups):
        for member in group.members:
            for name, dim in member.tensors:
                if name in shapes:
                    line = rows.setdefault((name, dim), np.zeros(len(groups), dtype=np.int64))
                    line[column] += member.index.shape[1]
    touched = sorted({name for name, _ in rows})
    fixed = sum(factors[name] * int(np.prod(shapes[name], dtype=np.int64)) for name in shapes.keys() - set(touched))
    if not touched:
        return lambda removed: fixed
    ranks = max(sum(name == other for other, _ in rows) for name in touched)
    sizes = np.ones((ranks, len(touched)), dtype=np.int64)
    losses = np.zeros((ranks, len(touched), len(groups)), dtype=np.int64)
    constants = np.empty(len(touched), dtype=np.int64)
    for position, name in enumerate(touched):
        dims = [dim for other, dim in rows if other == name]
        rest = [size for dim, size in enumerate(shapes[name]) if dim not in dims]
        constants[position] = factors[name] * int(np.prod(rest, dtype=np.int64))
        for slot, dim in enumerate(dims):
            sizes[slot, position] = shapes[name][dim]
            losses[slot, position] = rows[name, dim]

    def count(removed: Sequence[int] | np.ndarray) -> int:
        remaining = sizes - losses @ np.asarray(removed, dtype=np.int64)
        return fixed + int(constants @ remaining.prod(axis=0))

    return count


@torch.no_grad()
def _positions(model: nn.Module, example_input: Tensor) -> dict[str, int]:
    """Weight name -> at how many positions a picture meets it."""
    found: dict[str, int] = {}

    def watch(name: str) -> Callable:
        def note(module: nn.Module, _: tuple, output: Tensor) -> None:
            channel_dim = 1 if isinstance(module, nn.modules.conv._ConvNd) else -1
            # Windows and patches may sit in the batch dimension: divide by the pictures that went in.
            found[name] = found.get(name, 0) + output.numel() // output.shape[channel_dim] // len(example_input)

        return note

    modes = {module: module.training for module in model.modules()}
    hooks = [
        module.register_forward_hook(watch(f"{name}.weight"))
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear)
    ]
    try:
        model.eval()(example_input)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    return found
