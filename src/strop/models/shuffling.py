"""What both ShuffleNets are made of."""

from __future__ import annotations

from torch import Tensor, nn


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Channel shuffle: output channel i * groups + g is input channel g * (C / groups) + i.

    Shape:
        x: (B, C, H, W), C a multiple of `groups`. Returns: the same shape.
    """
    height, width = x.shape[2:]
    split = x.unflatten(1, (groups, x.shape[1] // groups))
    return split.transpose(1, 2).flatten(1, 2).reshape(-1, x.shape[1], height, width)


def conv_norm(inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution without bias that keeps the size at stride 1, and its batch norm."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]
