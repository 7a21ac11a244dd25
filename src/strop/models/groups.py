"""Which channels of a network belong together, and how to remove them.

A channel of a convolution can only go together with its batch-norm scale, the channels it is added to, and the
columns of every layer that reads it: a group. Groups are found once, on a copy of the model, and are plain data
afterwards: names and row numbers. Torch-Pruning traces the dependencies and cuts the layers.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence

import torch
import torch_pruning
from torch import Tensor, nn

from .attention import Cuts, attentions, keep_scale
from .counts import byte_counter, mac_counter, parameter_counter, predict_macs, predict_parameters
from .members import Group, Member
from .tied import tied_parameters
from .tracing import channel_groups, first_line, not_prunable

__all__ = [
    "Group", "Member", "byte_counter", "channel_groups", "check_prunable", "mac_counter", "parameter_counter",
    "predict_macs", "predict_parameters", "remove", "silence",
]  # fmt: skip


def remove(model: nn.Module, groups: Iterable[Group], removed: Mapping[str, Sequence[int]]) -> None:
    """Cut channels out of `model`, in place, for all groups at once. Attention keeps the scale of its softmax.

    Args:
        model: the model the groups were found on, or an uncut copy of it.
        removed: group name -> the channels (0 <= c < width) that go; groups that are not named stay whole.
    Raises:
        ValueError: an unknown group, a channel that does not exist, or a group that would lose all its channels.
    """
    groups = list(groups)
    _check_removed(groups, removed)
    _shrink_attention(model, groups, removed)
    rows: dict[tuple[str, str], tuple[Member, set[int]]] = {}
    for group in groups:
        channels = sorted(set(removed.get(group.name, ())))
        for member in group.members if channels else ():
            rows.setdefault((member.name, _end(member)), (member, set()))[1].update(_rows(member, channels))
    cutter = torch_pruning.DependencyGraph()
    for (_, end), (member, gone) in rows.items():
        _cut(model, cutter, member, end, sorted(gone))


@torch.no_grad()
def silence(model: nn.Module, groups: Iterable[Group], removed: Mapping[str, Sequence[int]]) -> None:
    """Make all layers deaf to these channels, in place: what `remove` gives, at full size.

    What reads a removed channel is set to zero. The outputs equal those after `remove` unless channels are normalised
    together (layer norm).
    """
    groups = list(groups)
    _check_removed(groups, removed)
    parameters = dict(model.named_parameters())
    for group in groups:
        for member in group.members:
            rows = sorted(_rows(member, sorted(set(removed.get(group.name, ())))))
            for name, dim in member.tensors if member.side == "in" and rows else ():
                parameters[name].index_fill_(dim, torch.tensor(rows, device=parameters[name].device), 0)


@torch.no_grad()
def check_prunable(
    model: nn.Module, example_input: Tensor, *, keep: Collection[str] = (), attention: Cuts = "both"
) -> None:
    """Try on a copy whether channels can be removed: every second channel of every group goes, and the copy must run.

    Without the channels that meet a layer norm, it must also compute what the full model computes with the others
    silenced.

    Raises:
        UserError: says why this model can't be pruned.
    """
    for name, other in tied_parameters(model).items():
        raise not_prunable(model, f"'{other}' and '{name}' are one tensor")
    groups = channel_groups(model, example_input, keep=keep, attention=attention)
    if not groups:
        raise not_prunable(model, "no layer has channels that can be removed on their own")
    dense = _without_zeros(model)
    pictures = torch.randn(example_input.shape, generator=torch.Generator().manual_seed(0)).to(example_input)
    shape = dense(pictures).shape
    try:
        got = _cut_by_half(dense, groups)(pictures)
    except Exception as error:  # whatever breaks in someone's forward is the reason we are looking for
        raise not_prunable(model, f"without some channels it stops with: {first_line(error)}") from error
    if got.shape != shape:
        raise not_prunable(model, f"its output changes from {list(shape)} to {list(got.shape)}")
    apart = [group for group in groups if not _meets_layer_norm(group, dense)]
    if len(apart) < len(groups):
        got = _cut_by_half(dense, apart)(pictures)
    silence(dense, apart, _every_second(apart))
    wanted = dense(pictures)
    if not torch.linalg.vector_norm(got - wanted) <= 1e-3 * torch.linalg.vector_norm(wanted):
        raise not_prunable(model, "removing channels changes what the other channels compute")


def _every_second(groups: Iterable[Group]) -> dict[str, range]:
    return {group.name: range(1, group.width, 2) for group in groups}


def _cut_by_half(model: nn.Module, groups: Sequence[Group]) -> nn.Module:
    cut = copy.deepcopy(model)
    remove(cut, groups, _every_second(groups))
    return cut


def _check_removed(groups: Sequence[Group], removed: Mapping[str, Sequence[int]]) -> None:
    widths = {group.name: group.width for group in groups}
    for name, channels in removed.items():
        if name not in widths:
            raise ValueError(f"there is no group '{name}'; the groups are {list(widths)}")
        gone = set(channels)
        if gone and not 0 <= min(gone) <= max(gone) < widths[name]:
            raise ValueError(f"group '{name}' has channels 0 to {widths[name] - 1}, not {sorted(gone)[:8]}")
        if len(gone) == widths[name]:
            raise ValueError(f"group '{name}' would lose all its {len(gone)} channels; keep one")


def _shrink_attention(model: nn.Module, groups: Sequence[Group], removed: Mapping[str, Sequence[int]]) -> None:
    gone = {group.name: len(set(removed.get(group.name, ()))) for group in groups if group.kind != "channels"}
    for attention in attentions(model) if any(gone.values()) else ():
        heads, width = (gone.get(f"{attention.name}.{leaf}", 0) for leaf in ("num_heads", "head_dim"))
        keep_scale(attention, attention.heads - heads, attention.width - width)


def _end(member: Member) -> str:
    """The side of the layer that is cut: channels of q are read by rows, everything else by columns."""
    return "out" if member.tensors and member.tensors[0][1] == 0 else member.side


def _rows(member: Member, channels: Sequence[int]) -> set[int]:
    return set(member.index[torch.tensor(channels, dtype=torch.int64)].flatten().tolist())


def _cut(model: nn.Module, cutter: torch_pruning.DependencyGraph, member: Member, end: str, gone: list[int]) -> None:
    if member.tensors and member.tensors[0][0] == member.name:
        _cut_parameter(model, *member.tensors[0], gone)
        return
    module = model.get_submodule(member.name)
    if hasattr(module, "normalized_shape"):  # Torch-Pruning may permute what is left of a layer norm
        module.normalized_shape = (module.normalized_shape[0] - len(gone),)
        for tensor, dim in member.tensors:
            _cut_parameter(model, tensor, dim, gone)
        return
    trained = {leaf: parameter.requires_grad for leaf, parameter in module.named_parameters(recurse=False)}
    layer = cutter.get_pruner_of_module(module)
    (layer.prune_out_channels if end == "out" else layer.prune_in_channels)(module, gone)
    for leaf, wanted in trained.items():  # cutting makes new parameters; frozen ones stay frozen
        getattr(module, leaf).requires_grad_(wanted)


def _cut_parameter(model: nn.Module, name: str, dim: int, gone: list[int]) -> None:
    parent, _, leaf = name.rpartition(".")
    owner = model.get_submodule(parent)
    old = getattr(owner, leaf)
    kept = torch.tensor(sorted(set(range(old.shape[dim])) - set(gone)), device=old.device)
    setattr(owner, leaf, nn.Parameter(old.detach().index_select(dim, kept), requires_grad=old.requires_grad))


@torch.no_grad()
def _without_zeros(model: nn.Module) -> nn.Module:
    """A copy in which no tensor is all zeros: behind a zero-initialised layer every mistake would be invisible."""
    double, generator = copy.deepcopy(model).eval(), torch.Generator().manual_seed(0)
    for parameter in double.parameters():
        if parameter.is_floating_point() and not parameter.any():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return double


def _meets_layer_norm(group: Group, model: nn.Module) -> bool:
    modules = dict(model.named_modules())
    return any(hasattr(modules.get(member.name), "normalized_shape") for member in group.members)
