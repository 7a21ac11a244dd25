"""Weights for another input size: position embeddings and tables of relative positions are interpolated."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

EMBEDDINGS = ("pos_embed", "pos_embedding")
TABLES = ("relative_position_bias_table",)


def resize_positions(tensors: Mapping[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """`tensors` as `net` needs them at its own input size; what does not depend on the size is left as it is.

    Absolute position embeddings are interpolated bicubically over the grid of patches, class and register tokens kept:
    for torchvision by its own `interpolate_embeddings`, for timm by its `resample_abs_pos_embed`. Tables of relative
    position biases (Swin, BEiT) go through timm's `resize_rel_pos_bias_table`, which interpolates over a geometric
    grid. Buffers that a network computes from its size (indices, masks) are its own.

    Source: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, arXiv:2010.11929, section 3.2.

    Returns:
        The same names. A tensor of another shape that is none of these stays, for the strict loading to refuse.
    """
    wanted = net.state_dict()
    buffers = {name for name, _ in net.named_buffers()}
    resized = dict(tensors)
    for name, tensor in tensors.items():
        if name not in wanted or wanted[name].shape == tensor.shape:
            continue
        owner, _, leaf = name.rpartition(".")
        if leaf in EMBEDDINGS and name not in buffers:
            resized[name] = _resize_embedding(tensor, wanted[name], net)
        elif leaf in TABLES:
            resized[name] = _resize_table(tensor, wanted[name], net.get_submodule(owner))
        elif name in buffers and not leaf.startswith("running_"):
            resized[name] = wanted[name]
    return resized


def _resize_embedding(tensor: Tensor, wanted: Tensor, net: nn.Module) -> Tensor:
    """(1, tokens + h * w, D) to (1, tokens + H * W, D)."""
    grid = _grid(net)
    if grid is None or tensor.ndim != 3 or wanted.ndim != 3 or tensor.shape[1] == wanted.shape[1]:
        return tensor
    tokens = wanted.shape[1] - math.prod(grid)
    before = math.isqrt(max(tensor.shape[1] - tokens, 0))
    if tokens < 0 or before**2 + tokens != tensor.shape[1]:
        return tensor
    if type(net).__module__.startswith("torchvision."):
        from torchvision.models.vision_transformer import interpolate_embeddings

        name = "encoder.pos_embedding"
        return interpolate_embeddings(net.image_size, net.patch_size, {name: tensor.float()})[name]
    from timm.layers import resample_abs_pos_embed

    return resample_abs_pos_embed(tensor, list(grid), (before, before), num_prefix_tokens=tokens)


def _grid(net: nn.Module) -> tuple[int, int] | None:
    """Patches down and across."""
    if hasattr(net, "image_size") and hasattr(net, "patch_size"):  # torchvision's ViT
        return (net.image_size // net.patch_size,) * 2
    return getattr(getattr(net, "patch_embed", None), "grid_size", None)


@torch.no_grad()
def _resize_table(tensor: Tensor, wanted: Tensor, owner: nn.Module) -> Tensor:
    """((2 h - 1) * (2 w - 1) + tokens, heads), or (heads, 2 h - 1, 2 w - 1), to the window of `owner`."""
    window = getattr(owner, "window_size", None)
    if window is None or tensor.ndim != wanted.ndim:
        return tensor
    from timm.layers import resize_rel_pos_bias_table

    window = (window, window) if isinstance(window, int) else tuple(window)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how timm indexes
        return resize_rel_pos_bias_table(tensor.float(), window, tuple(wanted.shape)).to(tensor.dtype)
