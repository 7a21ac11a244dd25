"""1x1 and 3x3 convolutions on small feature maps as one matrix product.

On maps of a few positions the CPU library's convolutions run at a small part of the machine's
rate; gathering the taps and multiplying once is the same mathematics at 1.5 to 3 times the speed
(docs/log.md). Only training uses it; the module itself, what is saved and what is exported stay
the ordinary ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

MAX_POSITIONS = 16
MIN_CHANNELS = 128
KINDS = (((1, 1), (0, 0)), ((3, 3), (0, 0)), ((3, 3), (1, 1)))  # kernel size and padding


class Reach(NamedTuple):
    """Along one side: how long the output is, and which of the kernel's taps (first, stop) ever touch the picture."""

    length: int
    first: int
    stop: int


def small_map_conv(images: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int, padding: int) -> Tensor:
    """conv2d for small maps: taps gathered into (B*H'*W', taps*C), then one product.

    Taps that lie in the padding for every output position are left out: at 1x1 only the centre counts. Weight and
    bias may be float32 under bfloat16 pictures; they are rounded to the pictures' type, as autocast does.

    Shape:
        images: (B, C, H, W). weight: (O, C, k, k). bias: (O,) or None. Returns: (B, O, H', W'), channels last.
    """
    return _SmallMapConv.apply(images, weight, bias, stride, padding)


class _SmallMapConv(torch.autograd.Function):
    """What autograd would derive writes each gradient nine times over; by hand it is three products as well."""

    @staticmethod
    def forward(ctx, images, weight, bias, stride, padding):
        batch, channels, height, width = images.shape
        rows, columns = (_reach(length, weight.shape[-1], stride, padding) for length in (height, width))
        chosen = _selection(height, width, weight.shape[-1], stride, padding, images.dtype)
        pixels = images.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        taps = pixels if chosen is None else chosen @ pixels
        taps = taps.reshape(batch * rows.length * columns.length, -1)
        used = weight.permute(0, 2, 3, 1)[:, rows.first : rows.stop, columns.first : columns.stop]
        kernel = used.to(images.dtype).reshape(len(weight), -1)
        ctx.save_for_backward(taps, kernel, chosen)
        ctx.images, ctx.weight, ctx.kind, ctx.reach = images.shape, weight.shape, weight.dtype, (rows, columns)
        out = F.linear(taps, kernel, None if bias is None else bias.to(images.dtype))
        # As .data it is no view to autograd, and an inplace ReLU may follow (SqueezeNet, VGG without norms).
        return out.view(batch, rows.length, columns.length, -1).permute(0, 3, 1, 2).data

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        taps, kernel, chosen = ctx.saved_tensors
        batch, channels, height, width = ctx.images
        gradient = gradient.permute(0, 2, 3, 1).reshape(len(taps), -1)
        of_images = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_taps = (gradient @ kernel).view(batch, -1, channels)
            of_pixels = of_taps if chosen is None else chosen.T @ of_taps
            of_images = of_pixels.view(batch, height, width, channels).permute(0, 3, 1, 2)
        if ctx.needs_input_grad[1]:
            of_weight = _spread((gradient.T @ taps).to(ctx.kind), ctx.weight, *ctx.reach)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum(0, dtype=ctx.kind)
        return of_images, of_weight, of_bias, None, None


def _spread(of_kernel: Tensor, shape: torch.Size, rows: Reach, columns: Reach) -> Tensor:
    """The gradient of the used taps as one of the whole weight, channels last."""
    out_channels, channels, size, _ = shape
    of_kernel = of_kernel.view(out_channels, rows.stop - rows.first, columns.stop - columns.first, channels)
    if of_kernel.shape[1:3] == (size, size):
        return of_kernel.permute(0, 3, 1, 2)
    whole = of_kernel.new_zeros(out_channels, size, size, channels)
    whole[:, rows.first : rows.stop, columns.first : columns.stop] = of_kernel
    return whole.permute(0, 3, 1, 2)


@cache
def _selection(height: int, width: int, size: int, stride: int, padding: int, dtype: torch.dtype) -> Tensor | None:
    """The 0/1 matrix that picks every tap of every output position out of the pixels; None where it is the identity.

    As a product it gathers the taps, and transposed it adds their gradients up, three times as fast as slices do.

    Shape:
        Returns: (H'*W'*taps, H*W).
    """
    with torch.inference_mode(False):  # kept, it must serve in training too
        one_side = [
            torch.tensor(
                [
                    [[float(o * stride + t - padding == place) for place in range(length)] for t in range(first, stop)]
                    for o in range(out)
                ]
            )
            for length, (out, first, stop) in ((n, _reach(n, size, stride, padding)) for n in (height, width))
        ]
        matrix = torch.einsum("rih,cjw->rcijhw", *one_side).reshape(-1, height * width)
        return None if torch.equal(matrix, torch.eye(height * width)) else matrix.to(dtype)


def _reach(length: int, size: int, stride: int, padding: int) -> Reach:
    out = (length + 2 * padding - size) // stride + 1
    used = [t for t in range(size) if any(0 <= o * stride + t - padding < length for o in range(out))]
    return Reach(out, used[0], used[-1] + 1)


def _forward(conv: nn.Conv2d, images: Tensor) -> Tensor:
    size, stride, padding = conv.kernel_size[0], conv.stride[0], conv.padding[0]
    inputs = outputs = 1
    for length in images.shape[-2:]:
        inputs *= length
        outputs *= (length + 2 * padding - size) // stride + 1
    if not 0 < outputs <= MAX_POSITIONS or inputs > 4 * MAX_POSITIONS:
        return conv._conv_forward(images, conv.weight, conv.bias)
    kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else images.dtype
    with torch.autocast("cpu", enabled=False):
        return small_map_conv(images.to(kind), conv.weight, conv.bias, stride=stride, padding=padding)


def fits(module: nn.Module) -> bool:
    """Whether the convolution may take the fast way where its map is small."""
    return (
        type(module) is nn.Conv2d  # a subclass may do something to the weight or the picture first
        and (module.kernel_size, module.padding) in KINDS
        and module.groups == 1
        and module.dilation == (1, 1)
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
