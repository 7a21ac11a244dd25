"""3x3 convolutions on small feature maps as one matrix product.

On maps of a few positions the CPU library's convolutions run at a small part of the machine's
rate; gathering the taps and multiplying once is the same mathematics at 1.5 to 3 times the speed
(docs/log.md). Only training uses it; the module itself, what is saved and what is exported stay
the ordinary ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

MAX_POSITIONS = 16
MIN_CHANNELS = 128


def small_map_conv(images: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int, padding: int) -> Tensor:
    """conv2d for small maps: taps gathered into (B*H*W, taps*C), then one product.

    Taps that lie in the padding for every output position are left out: at 1x1 only the centre counts.

    Shape:
        images: (B, C, H, W). weight: (O, C, k, k). bias: (O,) or None. Returns: (B, O, H', W'), channels last.
    """
    batch, _, height, width = images.shape
    out_channels, _, size, _ = weight.shape
    rows, top, bottom = _reach(height, size, stride, padding)
    columns, left, right = _reach(width, size, stride, padding)
    padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))
    taps = torch.cat(
        [
            padded[:, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride]
            for i in range(top, bottom)
            for j in range(left, right)
        ],
        dim=-1,
    ).flatten(0, 2)
    kernel = weight[:, :, top:bottom, left:right].permute(2, 3, 1, 0).flatten(0, 2)
    out = taps @ kernel if bias is None else torch.addmm(bias, taps, kernel)
    return out.view(batch, rows, columns, out_channels).permute(0, 3, 1, 2)


def _reach(length: int, size: int, stride: int, padding: int) -> tuple[int, int, int]:
    """Output length, and the range of taps that touch a real input somewhere."""
    out = (length + 2 * padding - size) // stride + 1
    used = [t for t in range(size) if any(0 <= o * stride + t - padding < length for o in range(out))]
    return out, used[0], used[-1] + 1


def _forward(conv: nn.Conv2d, images: Tensor) -> Tensor:
    stride, padding = conv.stride[0], conv.padding[0]
    positions = 1
    for length in images.shape[-2:]:
        positions *= (length + 2 * padding - 3) // stride + 1
    if not 0 < positions <= MAX_POSITIONS:
        return conv._conv_forward(images, conv.weight, conv.bias)
    kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else images.dtype
    bias = None if conv.bias is None else conv.bias.to(kind)
    return small_map_conv(images.to(kind), conv.weight.to(kind), bias, stride=stride, padding=padding)


def fits(module: nn.Module) -> bool:
    """Whether the convolution may take the fast way where its map is small."""
    return (
        type(module) is nn.Conv2d  # a subclass may do something to the weight or the picture first
        and module.kernel_size == (3, 3)
        and module.groups == 1
        and module.dilation == (1, 1)
        and module.padding in ((0, 0), (1, 1))
        and module.stride[0] == module.stride[1]
        and module.padding_mode == "zeros"
        and module.out_channels >= MIN_CHANNELS
    )


@contextmanager
def fast_small_maps(model: nn.Module) -> Iterator[None]:
    """Within the block, `model`'s fitting convolutions take the fast way on small maps (CPU)."""
    changed = [module for module in model.modules() if fits(module) and module.weight.device.type == "cpu"]
    for conv in changed:
        conv.forward = partial(_forward, conv)
    try:
        yield
    finally:
        for conv in changed:
            del conv.forward
