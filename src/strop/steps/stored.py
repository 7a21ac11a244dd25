"""What each layer of a float network takes before and after it was made smaller, for result.json."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..deploy.sparse import is_worth_packing, packed_bytes
from ..models.factoring import Factored

LAYERS = (nn.Conv2d, nn.Linear)


def layer_sizes(net: nn.Module) -> dict[str, int]:
    """Bytes of the weight of each convolution and linear layer, by name."""
    return {name: module.weight.nbytes for name, module in net.named_modules() if isinstance(module, LAYERS)}


def describe_layers(net: nn.Module, before: dict[str, int]) -> list[dict[str, Any]]:
    """A row a layer, as `quantize.layers.describe_layers` has them: sparsity, bits, bytes before and after, and ratio.

    Bytes after are those in an exported file, which leaves zeros out where that saves. A layer that is gone with its
    block has no bytes and no ratio.

    Args:
        before: the `layer_sizes` of the network that it was made from.
    """
    modules = dict(net.named_modules())
    return [_describe(name, modules.get(name), size) for name, size in before.items()]


def _describe(name: str, module: nn.Module | None, before: int) -> dict[str, Any]:
    parts = list(module) if isinstance(module, Factored) else [module] if module is not None else []
    weights = [part.weight for part in parts]
    nonzero = [int(weight.count_nonzero()) for weight in weights]
    sizes = [(weight.numel(), kept) for weight, kept in zip(weights, nonzero, strict=True)]
    packed = [is_worth_packing(*size) for size in sizes]
    after = sum(packed_bytes(*size) if short else 4 * size[0] for size, short in zip(sizes, packed, strict=True))
    count = sum(weight.numel() for weight in weights)
    row = {
        "layer": name,
        "shape": [weights[-1].shape[0], *weights[0].shape[1:]] if weights else [],
        "weights": count,
        "sparsity": 1 - sum(nonzero) / count if count else 0.0,
        "bits": 32,
        "stored_bits": 32,
        "bytes_before": before,
        "bytes_after": after,
        "ratio": round(before / after, 3) if after else None,
    }
    if isinstance(module, Factored):
        row["rank"] = module.rank
    return row | ({"packed": True} if any(packed) else {})
