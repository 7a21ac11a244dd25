"""A network for small grey pictures that a CPU trains in a minute: its first convolution leaves no large map."""

from __future__ import annotations

from torch import nn

from ..errors import UserError
from . import models

SMALLEST = 16


@models.add("cnn_fast")
def cnn_fast(
    num_classes: int,
    in_chans: int = 3,
    *,
    input_size: int = 28,
    width: int = 32,
    residual: bool = False,
    dropout: float = 0.0,
) -> nn.Module:
    """Four convolutions, the first with stride 2; 391,114 parameters at 10 classes and one channel.

    [Conv 4x4/2, Conv 3x3] -> pool -> Conv 3x3 -> pool -> Conv 3x3 -> maximum over positions -> linear layer. Widths
    are w, 2w, 4w and 8w; every convolution is followed by batch norm and ReLU. With `residual` a residual block of two
    convolutions precedes the third one and another takes the place of the fourth, and the widths are w, 2w, 4w, 4w. At
    28 pixels the maps have 14, 14, 7 and 3 pixels a side; most of a ResNet-18's time there goes into its first maps.

    Args:
        width: w, >= 8; 32 gives 0.39 M parameters and 10 M MACs on grey pictures of 28 pixels.
        residual: w = 64 gives 1.8 M parameters and 54 M MACs.
        dropout: before the linear layer, in [0, 1).
    Raises:
        UserError: the pictures or the width are too small.
    """
    if input_size < SMALLEST:
        raise UserError("input_size", f"{input_size} is too small for its three halvings. Write {SMALLEST} or more.")
    if width < 8:
        raise UserError("width", f"{width} is too narrow. Write 8 or more.")
    last = 4 * width if residual else 8 * width
    return nn.Sequential(
        _conv(in_chans, width, size=4, stride=2),
        _conv(width, 2 * width),
        nn.MaxPool2d(2),
        *([_Residual(2 * width)] if residual else []),
        _conv(2 * width, 4 * width),
        nn.MaxPool2d(2),
        *([_Residual(4 * width)] if residual else [_conv(4 * width, last)]),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(last, num_classes),
    )


class _Residual(nn.Module):
    """x + f(x), f two convolutions. Unlike He et al., arXiv:1512.03385: f ends in its ReLU, none follows the sum."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(_conv(width, width), _conv(width, width))

    def forward(self, x):
        return x + self.body(x)


def _conv(inputs: int, outputs: int, *, size: int = 3, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, size, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())
