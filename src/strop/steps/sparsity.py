"""How many weights are zero: of each epoch, of each layer, and of the finished model."""

from __future__ import annotations

from typing import Any

import torch

from ..sparsify.weights import layer_zeros, zero_share

WIDTH = 80


def sparsity_of(net: torch.nn.Module) -> dict[str, Any]:
    """What a line of metrics.jsonl says of it: the share of all weights, and of each layer's."""
    shares = {name: round(zeros / count, 6) for name, (zeros, count) in layer_zeros(net).items()}
    return {"zero_share": zero_share(net), "sparsity": shares}


def describe_sparsity(net: torch.nn.Module, options: Any) -> dict[str, Any]:
    """The `sparsity` block of result.json; nothing where no regulariser was at work."""
    if not options.sparsify:
        return {}
    rows = [{"layer": name, "weights": count, "zeros": zeros} for name, (zeros, count) in layer_zeros(net).items()]
    return {"sparsity": {"zero_share": round(zero_share(net), 6), "layers": rows}}


def word_sparsity(line: dict[str, Any]) -> str:
    """One line below that of the epoch: all weights, and the layers with the fewest and the most zeros.

    >>> word_sparsity({"zero_share": 0.25, "sparsity": {"conv1": 0.0, "fc": 0.5}})
    '  zeros 25.0 %: 0.0 (conv1) to 50.0 (fc)'
    """
    shares = line["sparsity"]
    least, most = min(shares, key=shares.get), max(shares, key=shares.get)
    words = (
        f"  zeros {100 * line['zero_share']:.1f} %: {100 * shares[least]:.1f} ({least}) to {100 * shares[most]:.1f} "
    )
    return f"{words}({most})" if len(words) + len(most) + 2 <= WIDTH else words.rstrip()[:WIDTH]
