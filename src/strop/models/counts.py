"""What a model will count after channels were removed, by arithmetic: no model is cut.

A parameter tensor loses `r` rows of one dimension for every channel that a group gives up, so

    numel = prod over dimensions d of (size_d - sum over groups g of r[d, g] * removed[g])

and the multiply-accumulates of a convolution or linear layer are numel(weight) times the positions it is applied at.
A dimension whose every row belongs to two groups (heads, and the width of heads) is the product of their widths:
rows = size / (H D) * (H - removed heads) * (D - removed width).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..measure.complexity import count_macs
from .attention import attentions
from .members import Group
from .tied import to_bytes

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

    A picture's attention costs N * N * D for q k^T and as much for the values, for each of H heads, of all windows of N
    tokens. What else is not done by convolution and linear layers does not depend on groups and is a constant.

    Args:
        example_input: (B, C, H, W); one forward pass shows at how many positions each layer is applied.
    """
    positions, tokens = layer_positions(model, example_input)
    in_layers, in_attention = _counter(model, groups, positions), _products(model, groups, positions, tokens)
    nothing = np.zeros(len(groups), dtype=np.int64)
    elsewhere = count_macs(model, tuple(example_input.shape[1:])) - in_layers(nothing) - in_attention(nothing)
    return lambda removed: elsewhere + in_layers(removed) + in_attention(removed)


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
    factored = {name: _factors(name, shapes[name], rows, groups) for name in touched}
    ranks = max(len(slots) for _, slots in factored.values())
    sizes = np.ones((ranks, len(touched)), dtype=np.int64)
    losses = np.zeros((ranks, len(touched), len(groups)), dtype=np.int64)
    constants = np.empty(len(touched), dtype=np.int64)
    for position, (name, (constant, slots)) in enumerate(factored.items()):
        constants[position] = factors[name] * constant
        for slot, (size, lost) in enumerate(slots):
            sizes[slot, position], losses[slot, position] = size, lost

    def count(removed: Sequence[int] | np.ndarray) -> int:
        remaining = sizes - losses @ np.asarray(removed, dtype=np.int64)
        return fixed + int(constants @ remaining.prod(axis=0))

    return count


def _factors(
    name: str, shape: tuple[int, ...], rows: Mapping[tuple[str, int], np.ndarray], groups: Sequence[Group]
) -> tuple[int, list[tuple[int, np.ndarray]]]:
    """A constant, and (size, rows lost a channel, by group) of each factor: their product is the numel of a tensor."""
    constant, slots = 1, []
    widths = np.array([group.width for group in groups], dtype=np.int64)
    for dim, size in enumerate(shape):
        line = rows.get((name, dim))
        if line is None:
            constant *= size
        elif line @ widths <= size:
            slots.append((size, line))
        else:  # crossed: all rows belong to each of these groups
            crossed = np.flatnonzero(line)
            assert all(line[crossed] * widths[crossed] == size), f"groups share some rows of {name} and not all"
            constant *= size // int(widths[crossed].prod())
            slots += [(int(widths[g]), np.arange(len(groups)) == g) for g in crossed]
    return constant, slots


def _products(model: nn.Module, groups: Sequence[Group], positions: Mapping[str, int], tokens: Mapping) -> Counter:
    """The multiply-accumulates within attention: 2 N a position of each window, for every channel of every head."""
    found, places = attentions(model), {group.name: place for place, group in enumerate(groups)}
    layers = [f"{attention.name}.qkv.weight" for attention in found]
    each = np.array([2 * positions[layer] * tokens[layer] for layer in layers], dtype=np.int64)
    heads, widths = (np.array([getattr(a, of) for a in found], dtype=np.int64) for of in ("heads", "width"))
    nowhere = len(groups)  # where a zero is appended
    of_heads, of_widths = (
        np.array([places.get(f"{a.name}.{leaf}", nowhere) for a in found], dtype=np.int64)
        for leaf in ("num_heads", "head_dim")
    )

    def count(removed: Sequence[int] | np.ndarray) -> int:
        gone = np.append(np.asarray(removed, dtype=np.int64), 0)
        return int((each * (heads - gone[of_heads]) * (widths - gone[of_widths])).sum())

    return count


@torch.no_grad()
def layer_positions(model: nn.Module, example_input: Tensor) -> tuple[dict[str, int], dict[str, int]]:
    """Weight name -> at how many positions a picture meets it, and how many of them lie in one row."""
    found: dict[str, int] = {}
    in_row: dict[str, int] = {}

    def watch(name: str) -> Callable:
        def note(module: nn.Module, _: tuple, output: Tensor) -> None:
            channel_dim = 1 if isinstance(module, nn.modules.conv._ConvNd) else -1
            # Windows and patches may sit in the batch dimension: divide by the pictures that went in.
            in_row[name] = output.shape[-2] if output.ndim > 2 else 1
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
    return found, in_row
