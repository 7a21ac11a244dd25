"""Tied weights: names under which one tensor stands twice. A file holds it once and says so in its header.

The header's metadata name the kept tensor for each one that was left out, as safetensors' own `save_model` does.
"""

from __future__ import annotations

import json

import safetensors.torch
from torch import Tensor, nn


def tied_names(tensors: dict[str, Tensor]) -> dict[str, str]:
    """Each name whose tensor is another one's memory, in the same shape and order -> the first of its names."""
    first: dict[tuple, str] = {}
    found = {}
    for name, tensor in tensors.items():
        if tensor.numel():
            place = (tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
            if first.setdefault(place, name) != name:
                found[name] = first[place]
    return found


def to_bytes(tensors: dict[str, Tensor]) -> bytes:
    """A safetensors file of these tensors, each memory once."""
    tied = tied_names(tensors)
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items() if name not in tied}
    return safetensors.torch.save(kept, metadata=tied or None)


def from_bytes(data: bytes) -> dict[str, Tensor]:
    """All tensors by all of their names; those that were tied are copies."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    return with_tied(safetensors.torch.load(data), header.get("__metadata__"))


def with_tied(tensors: dict[str, Tensor], metadata: dict[str, str] | None) -> dict[str, Tensor]:
    """The tensors, and copies under the names that the metadata tie to one of them."""
    found = dict(tensors)
    for name, kept in (metadata or {}).items():
        if name not in found and kept in tensors:
            found[name] = tensors[kept].clone()
    return found


def tied_parameters(net: nn.Module) -> dict[str, str]:
    """Each name under which a parameter stands again -> its first name.

    Example:
        >>> layer = nn.Linear(2, 2); other = nn.Linear(2, 2); other.weight = layer.weight
        >>> tied_parameters(nn.Sequential(layer, other))
        {'1.weight': '0.weight'}
    """
    first: dict[int, str] = {}
    named = net.named_parameters(remove_duplicate=False)
    return {name: kept for name, parameter in named if (kept := first.setdefault(id(parameter), name)) != name}


def tie(net: nn.Module, tied: dict[str, str]) -> None:
    """Let parameters be one again."""
    for name, kept in tied.items():
        owner, _, leaf = name.rpartition(".")
        net.get_submodule(owner)._parameters[leaf] = net.get_parameter(kept)
