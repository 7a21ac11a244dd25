"""Plain convolutional networks for small pictures: the same block two, three or five times, then one linear layer."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from ..errors import UserError
from . import models


class CNN(nn.Module):
    """[Conv 5x5 -> BatchNorm -> ReLU -> MaxPool 2] for each width, then a linear layer on all that is left.

    Args:
        widths: output channels of each block.
        num_classes: K.
        in_chans: C.
        input_size: pixels a side; at least 2 ** len(widths).
        dropout: before the linear layer, in [0, 1).
    Shape:
        x: (B, C, input_size, input_size). Returns: (B, K).
    Raises:
        UserError: the pictures are too small for that many poolings.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        num_classes: int,
        in_chans: int = 3,
        input_size: int = 32,
        dropout: float = 0.0,
    ):
        super().__init__()
        side = input_size >> len(widths)
        if side < 1:
            problem = f"{input_size} is too small for {len(widths)} poolings. Write {2 ** len(widths)} or more."
            raise UserError("input_size", problem)
        self.features = nn.Sequential(*(_block(*pair) for pair in pairwise((in_chans, *widths))))
        self.dropout = nn.Dropout(dropout) if dropout else None  # a module more would count in published sizes
        self.fc = nn.Linear(widths[-1] * side**2, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.features(x).flatten(1)
        return self.fc(x if self.dropout is None else self.dropout(x))


def _block(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel_size=5, padding=2)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2))


@models.add("cnn2")
def cnn2(num_classes: int, in_chans: int = 3, *, input_size: int = 32, dropout: float = 0.0) -> CNN:
    """Two blocks of 16 and 32 channels; 219,044 parameters at 100 classes."""
    return CNN((16, 32), num_classes, in_chans, input_size, dropout)


@models.add("cnn3")
def cnn3(num_classes: int, in_chans: int = 3, *, input_size: int = 32, dropout: float = 0.0) -> CNN:
    """Three blocks of 16 to 64 channels; 168,036 parameters at 100 classes."""
    return CNN((16, 32, 64), num_classes, in_chans, input_size, dropout)


@models.add("cnn5")
def cnn5(num_classes: int, in_chans: int = 3, *, input_size: int = 32, dropout: float = 0.0) -> CNN:
    """Five blocks of 16 to 256 channels; 1,116,388 parameters at 100 classes."""
    return CNN((16, 32, 64, 128, 256), num_classes, in_chans, input_size, dropout)
