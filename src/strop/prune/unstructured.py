"""Single weights to zero, to a budget of what is not: unstructured magnitude pruning."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..errors import GateFailed


def prunable_weights(net: nn.Module) -> dict[str, Tensor]:
    """The weight of each convolution and linear layer by the layer's name; a shared one once."""
    found = {id(m.weight): (name, m.weight) for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    return dict(found.values())


def count_remaining(net: nn.Module) -> int:
    """Parameters less the weights of convolutions and linear layers that are exactly zero."""
    zeros = sum(int((weight == 0).sum()) for weight in prunable_weights(net).values())
    return sum(parameter.numel() for parameter in net.parameters()) - zeros


@torch.no_grad()
def choose_kept(net: nn.Module, limit: int, *, scope: str = "local") -> dict[str, int]:
    """How many weights each layer keeps, so that `limit` parameters of the network remain.

    Everything but the weights of convolutions and linear layers remains whatever it is, and counts.

    Args:
        scope: "local": the same share of each layer; "global": the largest of all together. Each keeps at least one.
    Raises:
        GateFailed: what can't be zero is over the limit.
    """
    weights = prunable_weights(net)
    sizes = {name: weight.numel() for name, weight in weights.items()}
    whole = sum(sizes.values())
    rest = sum(parameter.numel() for parameter in net.parameters()) - whole
    room = min(limit - rest, whole)
    if room < len(sizes):
        raise GateFailed(
            f"the budget of {limit:,} can't be met: {rest:,} parameters are no weights of convolutions and linear "
            f"layers, and each of these {len(sizes)} keeps one. Give a larger budget."
        )
    if scope == "local":
        kept = {name: max(1, room * size // whole) for name, size in sizes.items()}
    else:
        magnitudes = torch.cat([weight.abs().flatten() for weight in weights.values()])
        owners = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(list(sizes.values())))
        counts = owners[magnitudes.topk(room).indices].bincount(minlength=len(sizes)).tolist()
        kept = {name: max(1, count) for name, count in zip(sizes, counts, strict=True)}
    over = sum(kept.values()) - room
    for name in sorted(kept, key=kept.get, reverse=True):  # those that were given a first weight
        back = min(max(over, 0), kept[name] - 1)
        kept[name], over = kept[name] - back, over - back
    return kept


@torch.no_grad()
def silence(net: nn.Module, kept: Mapping[str, int]) -> None:
    """Make all but the `kept` largest weights of each layer exactly zero, in place.

    w <- w where |w| is among the kept largest of its layer, else 0; of equal ones the first stay.

    Source: Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NeurIPS 2015,
    arXiv:1506.02626. Unlike them: a count and not a threshold, so that a budget is met.
    """
    weights = prunable_weights(net)
    for name, count in kept.items():
        order = weights[name].abs().flatten().argsort(descending=True, stable=True)
        gone = torch.zeros_like(order, dtype=torch.bool)
        gone[order[count:]] = True
        weights[name].masked_fill_(gone.view(weights[name].shape), 0)
