"""The operations that trivial-augment and rand-augment choose from, each with one magnitude."""

from __future__ import annotations

from collections.abc import Callable

import torch

from .brightness import adjust_brightness
from .contrast import adjust_contrast
from .pixels import change_in_place
from .saturation import adjust_saturation
from .sharpen import adjust_sharpness
from .tones import drop_bits, flatten_histogram, invert_above, stretch
from .warping import shear, shift, turn

_MOST = 0.99  # a factor of 0 would leave a black or flat picture

OPERATIONS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "identity": lambda images, m: images,
    "shear-x": lambda images, m: shear(images, _MOST * m, 0 * m),
    "shear-y": lambda images, m: shear(images, 0 * m, _MOST * m),
    "shift-x": lambda images, m: shift(images, images.shape[3] * m / 3, 0 * m),
    "shift-y": lambda images, m: shift(images, 0 * m, images.shape[2] * m / 3),
    "rotate": lambda images, m: turn(images, 135 * m),
    "brightness": lambda images, m: adjust_brightness(images, 1 + _MOST * m),
    "saturation": lambda images, m: adjust_saturation(images, 1 + _MOST * m),
    "contrast": lambda images, m: adjust_contrast(images, 1 + _MOST * m),
    "sharpness": lambda images, m: adjust_sharpness(images, 1 + _MOST * m),
    "posterize": lambda images, m: drop_bits(images, m.abs()),
    "solarize": lambda images, m: invert_above(images, m.abs()),
    "autocontrast": lambda images, m: stretch(images, m.abs()),
    "equalize": lambda images, m: flatten_histogram(images, m.abs()),
}
"""Name -> function of pictures (B, C, H, W) uint8 and magnitudes (B,) in [-1, 1]; magnitude 0 changes nothing."""


def apply_in_place(images: torch.Tensor, chosen: torch.Tensor, u: torch.Tensor, magnitudes: torch.Tensor) -> None:
    """Apply to each chosen picture one of OPERATIONS, picked by u; pictures with the same operation go together.

    Shape:
        images: (B, C, H, W) uint8, changed. chosen: (A,). u: (A,) in [0, 1). magnitudes: (A,) in [-1, 1].
    """
    picked = (u * len(OPERATIONS)).long()
    for number, operation in enumerate(OPERATIONS.values()):
        its = (picked == number).nonzero()[:, 0]
        change_in_place(images, chosen[its], operation, magnitudes[its])
