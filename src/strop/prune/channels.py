"""What the criteria look at: everything that belongs to the channels of a group, one row a channel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..models.members import Group, Member

GRADIENT_BATCHES = 8


class Channels(NamedTuple):
    """The channels of a group.

    Attributes:
        name: of the group, for messages.
        makers: (width, n_l) weights of each layer whose rows make the channels; the one that the group is named
            after first.
        readers: (width, n_l) weights of each layer whose columns read them; of q, which reads the channels of k, the
            rows and their biases.
        scales: (width,) scales of each batch norm between.
        reader_gradients: gradients of `readers`, in their order; empty where none were asked for.
    """

    name: str
    makers: list[Tensor]
    readers: list[Tensor]
    scales: list[Tensor]
    reader_gradients: list[Tensor]

    @property
    def weights(self) -> list[Tensor]:
        return self.makers + self.readers


def look_at(net: nn.Module, group: Group, gradients: Mapping[str, Tensor] | None = None) -> Channels:
    """Collect what belongs to a group's channels; biases and layer norms are left out where they read nothing.

    Args:
        gradients: by parameter name, from `loss_gradients`.
    """
    parameters, modules = dict(net.named_parameters()), dict(net.named_modules())
    found = Channels(group.name, [], [], [], [])
    for member in group.members:
        if member.side == "in" and member.tensors:
            found.readers.append(_all_rows(parameters, member, group))
            if gradients:
                found.reader_gradients.append(_all_rows(gradients, member, group))
            continue
        for name, dim in member.tensors if member.side == "out" else ():
            weights = parameters[name].detach()
            if weights.ndim > 1:
                found.makers.append(_rows(weights, dim, member, group))
            elif name.endswith(".weight") and isinstance(modules.get(member.name), nn.modules.batchnorm._BatchNorm):
                found.scales.append(_rows(weights, dim, member, group).mean(1))
    return found


def _all_rows(tensors: Mapping[str, Tensor], member: Member, group: Group) -> Tensor:
    return torch.cat([_rows(tensors[name].detach(), dim, member, group) for name, dim in member.tensors], 1)


def _rows(tensor: Tensor, dim: int, member: Member, group: Group) -> Tensor:
    return tensor.movedim(dim, 0)[member.index.flatten()].reshape(group.width, -1)


def loss_gradients(model: nn.Module, loader, *, net: nn.Module, batches: int = GRADIENT_BATCHES) -> Iterator[dict]:
    """The gradient of the cross-entropy for each of the first batches of an epoch, in eval mode.

    Args:
        model: takes the loader's images, gives logits.
        net: whose parameters the gradients are of, by name.
    Yields:
        parameter name -> gradient, of the mean over the batch; zeros for what the loss does not reach.
    """
    model.eval()
    names, parameters = zip(*net.named_parameters(), strict=True)
    wanted = [parameter.requires_grad for parameter in parameters]
    for parameter in parameters:  # frozen layers can be pruned as well
        parameter.requires_grad_(True)
    try:
        for batch in islice(loader.epoch(0), batches):
            loss = F.cross_entropy(model(batch.images).float(), batch.targets)
            found = torch.autograd.grad(loss, parameters, materialize_grads=True)
            yield dict(zip(names, found, strict=True))
    finally:
        for parameter, before in zip(parameters, wanted, strict=True):
            parameter.requires_grad_(before)
