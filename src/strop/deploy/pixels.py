"""The exported graph as a torch module, for the forms that torch writes: decoded pictures in, probabilities out."""

from __future__ import annotations

import torch
import torch.nn as nn
from torch import Tensor

from .settings import Settings

LUMA = (9798 / 32768, 19235 / 32768, 3735 / 32768)  # ITU-R 601 in 15 bits, as in `preprocessing`


class FromPixels(nn.Module):
    """softmax(net((pixel / 255 - mean) / sd) / temperature) of the centre square, cut and scaled as in `preprocessing`.

    Args:
        net: takes normalised floats and gives logits.
        scales: False where pictures come as squares of the network's size, which saves a graph the scaling.
    Shape:
        images: (B, H, W, 3) uint8 RGB, upright. Returns: (B, K) float32.
    """

    def __init__(self, net: nn.Module, settings: Settings, *, scales: bool = True):
        super().__init__()
        self.net, self.settings, self.scales = net.eval(), settings, scales
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (settings.mean, settings.std))
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)
        self.register_buffer("luma", torch.tensor(LUMA).view(3, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        if self.scales:
            images = centre_square(images)
        levels = images.float()
        if self.settings.channels == 1:
            levels = (levels @ self.luma + 0.5).floor()
        # Made contiguous, because matmul would otherwise ask whether the sides are 1.
        pixels = levels.permute(0, 3, 1, 2).contiguous()
        if self.scales:
            pixels = scale_square(pixels, self.settings.input_size)
        logits = self.net(pixels * self.scale + self.shift)
        return (logits / self.settings.temperature).softmax(1)


def centre_square(images: Tensor) -> Tensor:
    """Shape: (B, H, W, 3); returns (B, S, S, 3), S the shorter of H and W."""
    height, width = images.shape[1:3]
    side = torch.sym_min(height, width)
    places = torch.arange(side)
    return images.index_select(1, places + (height - side) // 2).index_select(2, places + (width - side) // 2)


def scale_square(pixels: Tensor, size: int) -> Tensor:
    """A x A', rounded to whole levels. Shape: (B, C, S, S) float32; returns (B, C, size, size)."""
    side = pixels.shape[-1]
    weights = scaling(side, size)
    scaled = weights @ pixels @ weights.T
    halves = torch.arange(side)[-1:] == 2 * size - 1
    return (scaled + torch.where(halves, 0.001, 0.0)).round()


def scaling(side: int, size: int) -> Tensor:
    """A, the share of each output pixel that each input pixel has: areas to shrink, bilinear to enlarge.

    Integers up to the last division, so the weights are those of the ONNX graph. A side that fits gives ones on the
    diagonal. Shape: returns (size, side) float32.
    """
    numbers, columns = torch.arange(size)[:, None], torch.arange(side)
    low, left = numbers * side, columns * size
    overlap = (torch.minimum(low + side, left + size) - torch.maximum(low, left)).clamp_min(0)
    middle = (2 * low + (side - size)).clamp_min(0)
    place = torch.minimum(middle, 2 * size * columns[-1:])
    tent = (2 * size - (place - 2 * left).abs()).clamp_min(0)
    return torch.where(columns[-1:] >= size - 1, overlap / side, tent / (2 * size))
