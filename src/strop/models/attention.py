"""Attention that can be cut: whole heads, and the width of all heads of a layer, with the scale of the softmax kept."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from .members import Group, Member, matched

# Layers that compute softmax(s q k^T + bias) v for heads that stand one after the other in one `qkv` layer.
UNDERSTOOD = ("timm.layers.attention.Attention", "timm.models.swin_transformer.WindowAttention")
Cuts = Literal["both", "heads", "width", "whole"]


@dataclass(frozen=True)
class Attention:
    """A layer of `UNDERSTOOD` in a network.

    Attributes:
        name: of the module; heads: how many; width: channels of a head.
    """

    name: str
    module: nn.Module
    heads: int
    width: int

    @property
    def rows(self) -> Tensor:
        """(3, heads, width): which row of `qkv` makes channel c of head h of q, k and v."""
        return torch.arange(3 * self.heads * self.width).view(3, self.heads, self.width)

    @property
    def read(self) -> Tensor:
        """(heads, width): which column of `proj` reads channel c of head h."""
        return self.rows[0]

    @property
    def normalises_heads(self) -> bool:
        return not isinstance(getattr(self.module, "q_norm", None), nn.Identity | None)

    @property
    def can_narrow(self) -> bool:
        """Whether the scale of narrower heads can be put right: in q's rows, or in the scale of its norm."""
        if not self.normalises_heads:
            return True
        norms = (self.module.q_norm, self.module.k_norm)
        return all(hasattr(norm, "normalized_shape") and getattr(norm, "weight", None) is not None for norm in norms)


def attentions(model: nn.Module) -> list[Attention]:
    """The layers of `UNDERSTOOD`, in module order."""
    found = []
    for name, module in model.named_modules():
        if f"{type(module).__module__}.{type(module).__qualname__}" in UNDERSTOOD and _is_whole(module):
            heads = module.num_heads
            found.append(Attention(name, module, heads, module.qkv.out_features // (3 * heads)))
    return found


def _is_whole(module: nn.Module) -> bool:
    """Whether its layers are known: `strop prune --method svd` makes two of one; a norm over all heads may be any."""
    norm = getattr(module, "norm", None)
    norm_is_known = isinstance(norm, nn.Identity | None) or hasattr(norm, "normalized_shape")
    return norm_is_known and all(isinstance(layer, nn.Linear) for layer in (module.qkv, module.proj))


def uncut_attentions(model: nn.Module) -> dict[str, str]:
    """Attention that keeps its heads and their width, because it is no layer that is known here: name -> class."""
    known = {attention.name for attention in attentions(model)}
    return {
        name: type(module).__name__
        for name, module in model.named_modules()
        if name not in known
        and hasattr(module, "num_heads")
        and (hasattr(module, "head_dim") or "attn" in type(module).__name__.lower().replace("attention", "attn"))
    }


def attention_groups(model: nn.Module, cuts: Cuts, keep: Collection[str] = ()) -> list[Group]:
    """For each attention a group of its heads, and one of the channels that every head has.

    A head is its rows of q, k and v, the columns of `proj` that read it, and its column of a table of position biases.
    A channel of the head width is one channel of q and k together, and one of v, in every head: which of them go
    together is free, because a head's channels have no order. Where q and k are normalised, in a norm that all heads
    share, the channels of q and k are the same in all heads.

    Args:
        cuts: which of the two; "whole" finds none.
        keep: names of modules whose output width must stay.
    """
    found = []
    for attention in attentions(model):
        if {attention.name, f"{attention.name}.qkv"} & set(keep):
            continue
        if cuts in ("both", "heads") and attention.heads > 1:
            found.append(_heads(attention))
        if cuts in ("both", "width") and attention.width > 1 and attention.can_narrow:
            found.append(_width(attention))
    return found


def _heads(attention: Attention) -> Group:
    rows, read = attention.rows, attention.read
    members = [_linear(attention, "qkv", "out", rows.transpose(0, 1).flatten(1)), *_beside(attention, read)]
    if hasattr(attention.module, "relative_position_bias_table"):
        table = f"{attention.name}.relative_position_bias_table"
        members.append(Member(table, "with", torch.arange(attention.heads)[:, None], ((table, 1),)))
    members.append(_linear(attention, "proj", "in", read))
    return Group(f"{attention.name}.num_heads", attention.heads, tuple(members), "heads")


def _width(attention: Attention) -> Group:
    name, width, rows, read = f"{attention.name}.head_dim", attention.width, attention.rows, attention.read
    strands = []
    together = [torch.arange(attention.heads)] if attention.normalises_heads else torch.arange(attention.heads)[:, None]
    for heads in together:
        # A channel of q reads the same channel of k: their products are added up and nothing else is done with them.
        key = _linear(attention, "qkv", "out", rows[1, heads].T)
        if attention.normalises_heads:
            alone = torch.arange(width)[:, None]
            norms = _norm(attention, "k_norm", "out", alone), _norm(attention, "q_norm", "in", alone)
            strands.append([key, *norms, _linear(attention, "qkv", "out", rows[0, heads].T)])
        else:
            strands.append([key, _linear(attention, "qkv", "in", rows[0, heads].T)])
    for head in range(attention.heads):
        columns = read[head][:, None]
        value = _linear(attention, "qkv", "out", rows[2, head][:, None])
        strands.append([value, *_beside(attention, columns), _linear(attention, "proj", "in", columns)])
    parts = tuple(Group(f"{name}, part {n}", width, tuple(members)) for n, members in enumerate(strands))
    group = Group(name, width, (), "head width", parts)
    return matched(group, [torch.arange(width)] * len(parts))


def _beside(attention: Attention, index: Tensor) -> list[Member]:
    """What stands between the values and `proj`: a gate, a norm over all heads."""
    found = []
    if getattr(attention.module, "gate", None) is not None:
        found.append(_linear(attention, "gate", "out", index))
    if hasattr(getattr(attention.module, "norm", None), "normalized_shape"):
        found.append(_norm(attention, "norm", "out", index))
    return found


def _linear(attention: Attention, leaf: str, side: str, index: Tensor) -> Member:
    """Rows of a linear layer, or columns of `proj`."""
    name, layer = f"{attention.name}.{leaf}", getattr(attention.module, leaf)
    if leaf == "proj":
        return Member(name, side, index, ((f"{name}.weight", 1),))
    leaves = ("weight", "bias") if layer.bias is not None else ("weight",)
    return Member(name, side, index, tuple((f"{name}.{leaf}", 0) for leaf in leaves))


def _norm(attention: Attention, leaf: str, side: str, index: Tensor) -> Member:
    own = getattr(attention.module, leaf).named_parameters(recurse=False)
    return Member(f"{attention.name}.{leaf}", side, index, tuple((f"{attention.name}.{leaf}.{n}", 0) for n, _ in own))


@torch.no_grad()
def keep_scale(attention: Attention, heads: int, width: int) -> None:
    """Set what an attention knows of its shape, and put its softmax right, before its layers are cut.

    softmax(q k^T / sqrt(D)) becomes softmax(q' k^T / sqrt(D')) with q' = q sqrt(D' / D): fused attention knows no other
    scale than that of the width that it sees, so what is missing goes into q.

    Args:
        heads, width: what stays, H' and D'.
    """
    module, factor = attention.module, math.sqrt(width / attention.width)
    if factor != 1:
        owner = module.q_norm if attention.normalises_heads else module.qkv
        rows = slice(None) if attention.normalises_heads else slice(0, attention.heads * attention.width)
        for parameter in owner.parameters(recurse=False):
            parameter[rows] *= factor
        module.scale /= factor
    module.num_heads = heads
    if hasattr(module, "head_dim"):
        module.head_dim, module.attn_dim = width, heads * width
