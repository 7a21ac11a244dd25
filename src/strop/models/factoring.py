"""A layer as two thin ones: what a singular value decomposition leaves of a convolution or a linear layer."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


class Factored(nn.Sequential):
    """Two layers in the place of one; their product is a matrix of rank `rank`.

    A convolution (O, I, k, k) becomes (rank, I, k, k) with its stride and padding, then (O, rank, 1, 1) with its bias;
    a linear layer (O, I) becomes (rank, I), then (O, rank).

    Args:
        layer: what they stand for, an `nn.Conv2d` without groups or an `nn.Linear`; its values are not taken over.
        rank: 1 to the inputs of the layer, I k k.
    Raises:
        ValueError: another layer, or another rank.
    """

    def __init__(self, layer: nn.Module, rank: int):
        if not can_be_factored(layer):
            raise ValueError(f"a {type(layer).__name__} can't be written as two layers")
        if not isinstance(rank, int) or not 1 <= rank <= layer.weight[0].numel():
            raise ValueError(f"{rank} is no rank of a weight of shape {tuple(layer.weight.shape)}")
        has_bias = layer.bias is not None
        if isinstance(layer, nn.Linear):
            first = nn.Linear(layer.in_features, rank, bias=False)
            second = nn.Linear(rank, layer.out_features, bias=has_bias)
        else:
            first = nn.Conv2d(
                layer.in_channels, rank, layer.kernel_size, layer.stride, layer.padding, layer.dilation,
                bias=False, padding_mode=layer.padding_mode,
            )  # fmt: skip
            second = nn.Conv2d(rank, layer.out_channels, 1, bias=has_bias)
        super().__init__(first, second)

    @property
    def rank(self) -> int:
        return self[0].weight.shape[0]

    def product(self) -> Tensor:
        """The weight of the one layer that computes the same. Shape: (O, I, k, k) or (O, I)."""
        return (self[1].weight.flatten(1) @ self[0].weight.flatten(1)).view(-1, *self[0].weight.shape[1:])


def can_be_factored(layer: nn.Module) -> bool:
    """Whether it is a plain convolution or linear layer; a subclass may do more with its weight than multiply."""
    return type(layer) is nn.Linear or (type(layer) is nn.Conv2d and layer.groups == 1)


def factor(net: nn.Module, ranks: Mapping[str, int]) -> None:
    """Put two new layers of a rank into the place of each named one, in place.

    Raises:
        ValueError: there is no such layer, or it can't have that rank.
    """
    for name, rank in ranks.items():
        owner, _, leaf = name.rpartition(".")
        modules = dict(net.named_modules())
        if not name or name not in modules:
            raise ValueError(f"there is no layer '{name}'")
        setattr(modules[owner], leaf, Factored(modules[name], rank))
