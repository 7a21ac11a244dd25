"""Channels as vectors: everything that makes, scales and reads a channel, through all layers it is coupled with."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn as nn
from torch import Tensor

from ..models.groups import channel_groups


class Piece(NamedTuple):
    """What of one tensor belongs to the channels of a group.

    Attributes:
        weight: the parameter itself.
        dim: along which the channels lie; index: (width, r), the rows of each channel there.
        makes: whether these are rows of a layer that makes the channels (and not its norm, or what reads them).
    """

    weight: Tensor
    dim: int
    index: Tensor
    makes: bool

    def sums(self, values: Tensor) -> Tensor:
        """Sum of values, of the tensor's shape, over each channel. Shape: returns (width,)."""
        others = [dim for dim in range(values.ndim) if dim != self.dim]
        rows = values.sum(others) if others else values
        return rows[self.index].sum(1)

    def scale(self, factors: Tensor) -> None:
        """Multiply each channel by its factor, (width,), in place."""
        rows = torch.ones(self.weight.shape[self.dim], dtype=factors.dtype, device=factors.device)
        rows[self.index] = factors[:, None].expand_as(self.index)
        shape = [1] * self.weight.ndim
        shape[self.dim] = -1
        self.weight.mul_(rows.view(shape))


class Channels:
    """The channels of one group of `models.groups`.

    Attributes:
        name: of the group; width: how many channels.
        sizes: (width,) how many weights a channel has over all pieces.
    """

    def __init__(self, name: str, width: int, pieces: list[Piece]):
        self.name, self.width, self.pieces = name, width, pieces
        self.sizes = sum(piece.sums(torch.ones_like(piece.weight)) for piece in pieces)

    def norms(self) -> Tensor:
        """The 2-norm of each channel over all of its pieces. Shape: (width,)."""
        return sum(piece.sums(piece.weight.square()) for piece in self.pieces).sqrt()

    def magnitudes(self) -> Tensor:
        """The 1-norm of what makes each channel. Shape: (width,)."""
        return sum(piece.sums(piece.weight.abs()) for piece in self.pieces if piece.makes)

    def scale(self, factors: Tensor) -> None:
        """Multiply all pieces of each channel by its factor, (width,), in place."""
        for piece in self.pieces:
            piece.scale(factors)


@torch.no_grad()
def find_channels(model: nn.Module, example: Tensor) -> list[Channels]:
    """The groups of channels of a network, without what is frozen; of attention its heads.

    Args:
        example: (B, C, H, W) that the network accepts.
    Raises:
        UserError: the dependencies of its channels can't be followed.
    """
    parameters = dict(model.named_parameters())
    found = []
    for group in channel_groups(model, example, attention="heads"):
        pieces, seen = [], set()
        for member in group.members:
            for name, dim in member.tensors:
                weight = parameters[name]
                if weight.requires_grad and (id(weight), dim) not in seen:
                    seen.add((id(weight), dim))
                    makes = member.side == "out" and weight.ndim > 1
                    pieces.append(Piece(weight, dim, member.index.to(weight.device), makes))
        if any(piece.makes for piece in pieces):
            found.append(Channels(group.name, group.width, pieces))
    return found
