"""What the augmentations share: who is changed, writing the changed pictures back, checking options.

Whatever happens to a picture must not depend on its batch, to the last bit. So arithmetic here is one operation at a
time (a fused multiply-add rounds differently in the vectorised part of a loop and in its tail), sums are sums of
integers, and sines and exponentials are taken in float64 and rounded.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..errors import UserError

_CHUNK_VALUES = 1 << 19  # what fits a core's cache as float32; larger pieces were measured to take twice as long
_LUMA = (77, 150, 29)  # BT.601 in 256ths: sums of bytes times these are exact in float32


def check_shares(part: str, **options: float) -> None:
    """Raise UserError for each option that is not a share, 0 to 1."""
    problems = [
        f"{name}: {value} is out of range. Write 0 (nothing) to 1, such as 0.3."
        for name, value in options.items()
        if not 0 <= value <= 1
    ]
    if problems:
        raise UserError(part, *problems)


def toss(chance: Callable, p: float, n: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose each picture with probability p.

    Shape:
        Returns: chosen (A,) int64, the places of the chosen in the batch; u (A, n), n uniforms for each of them.
    """
    draws = chance(n + 1)
    chosen = (draws[:, n] < p).nonzero()[:, 0]
    return chosen, draws[chosen, :n]


def both_ways(u: torch.Tensor) -> torch.Tensor:
    """Stretch uniforms from [0, 1) to [-1, 1)."""
    return 2 * u - 1


def change(images: torch.Tensor, chosen: torch.Tensor, function: Callable, *values: torch.Tensor) -> torch.Tensor:
    """A copy of `images` in which the chosen pictures are `function(pictures, *values)`."""
    changed = images.clone()
    change_in_place(changed, chosen, function, *values)
    return changed


def change_in_place(images: torch.Tensor, chosen: torch.Tensor, function: Callable, *values: torch.Tensor) -> None:
    """Replace the chosen pictures by `function(pictures, *values)`, a piece that fits the cache at a time.

    Args:
        function: uint8 in; a new tensor out, uint8 or float (which is rounded and cut to 0..255 here).
    Shape:
        images: (B, C, H, W) uint8. chosen: (A,), each place once. values: (A, ...), a row for each of the chosen.
    """
    step = max(1, _CHUNK_VALUES // max(1, images[:1].numel()))
    for start in range(0, len(chosen), step):
        piece = chosen[start : start + step]
        made = function(images.index_select(0, piece), *(value[start : start + step] for value in values))
        if made.dtype != torch.uint8:
            made = made.round_().clamp_(0, 255).to(torch.uint8)
        images.index_copy_(0, piece, made)


def per_picture(values: torch.Tensor) -> torch.Tensor:
    """Shape: (B,) to (B, 1, 1, 1), to multiply pictures with."""
    return values[:, None, None, None]


def blend(images: torch.Tensor, other: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """factors * images + (1 - factors) * other: 1 is `images`, above 1 leads away from `other`.

    Shape:
        images: (B, C, H, W) uint8. other: float, changed here; broadcasts to images. factors: (B,). Returns: float.
    """
    buffer = images.float().mul_(per_picture(factors))
    return buffer.add_(other.mul_(per_picture(1 - factors)))


def grey_of(images: torch.Tensor) -> torch.Tensor:
    """What a picture looks like without its colours (BT.601 luma; the mean where channels are not three).

    Shape:
        images: (B, C, H, W) uint8. Returns: (B, 1, H, W) float32 in 0..255.
    """
    if images.shape[1] != 3:
        return images.sum(1, keepdim=True, dtype=torch.float32).div_(images.shape[1])
    red, green, blue = (images[:, channel : channel + 1].float() for channel in range(3))
    total = red.mul_(_LUMA[0]).add_(green.mul_(_LUMA[1])).add_(blue.mul_(_LUMA[2]))
    return total.div_(256)


def mean_grey(images: torch.Tensor) -> torch.Tensor:
    """The mean of `grey_of` over each picture, from sums of integers. Shape: (B, C, H, W) to (B,) float32."""
    sums = images.sum(dim=(2, 3), dtype=torch.int64)
    weights = _LUMA if images.shape[1] == 3 else (1,) * images.shape[1]
    total = (sums * torch.tensor(weights, device=images.device)).sum(1)
    return (total.double() / (sum(weights) * images.shape[2] * images.shape[3])).float()
