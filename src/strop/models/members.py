"""What a group of channels is: names and row numbers, found by `tracing` and `attention`, cut by `groups`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor


class Member(NamedTuple):
    """One side of one layer (or one lone parameter) that a group reaches.

    Attributes:
        name: the module; for a parameter that belongs to no known layer, the parameter.
        side: "out" for the rows that make (or scale) the channels, "in" for the columns that read them, "with" for
            what goes along with them and says nothing of their worth.
        index: (width, r) int64; the rows of this side that group channel c stands for. r > 1 after a flatten.
        tensors: (parameter name, dimension) of all parameters that lose these rows.
    """

    name: str
    side: str
    index: Tensor
    tensors: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Group:
    """Channels that are removed together.

    Attributes:
        name: the first convolution or linear layer, in module order, that makes these channels; of attention the
            attribute that changes with them.
        width: how many channels there are; at least one has to stay.
        members: in module order.
        kind: "heads" of an attention, "head width" (of all of its heads at once), or else "channels".
        strands: where channels of several layers go together only because their number must be the same: a group for
            each, of the same width. Which channel of one goes with which of another is free, see `matched`.
    """

    name: str
    width: int
    members: tuple[Member, ...]
    kind: Literal["channels", "heads", "head width"] = "channels"
    strands: tuple[Group, ...] = ()


def matched(group: Group, orders: Sequence[Tensor]) -> Group:
    """The group whose channel c is the channel orders[s][c] of every strand s.

    Args:
        orders: for each strand (width,) int64, a permutation.
    """
    strands, rows = [], {}
    for strand, order in zip(group.strands, orders, strict=True):
        members = tuple(member._replace(index=member.index[order]) for member in strand.members)
        strands.append(replace(strand, members=members))
        for member in members:
            rows.setdefault((member.name, member.side, member.tensors), []).append(member.index)
    merged = tuple(Member(name, side, torch.cat(rows_, 1), tensors) for (name, side, tensors), rows_ in rows.items())
    return replace(group, members=merged, strands=tuple(strands))
