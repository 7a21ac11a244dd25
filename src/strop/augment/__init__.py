"""Augmentation of whole batches: one file each, found by its name; presets; composition.

An augmentation is a function `part(images, chance, *, options)`: images (B, C, H, W) uint8 in, a new tensor of the
same kind out. All its randomness comes from `chance(n)`, n fresh uniforms for each picture, so what happens to a
picture depends on (seed, epoch, its number) and never on the batch that it happens to be in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import UserError, suggest
from ..registry import REQUIRED, Registry

if TYPE_CHECKING:
    import torch

augmentations = Registry("augmentation", __name__, __path__)

PRESETS: dict[str, list[str]] = {
    "none": [],
    "light": ["hflip", "crop"],
    "standard": ["hflip", "crop", "erase"],
}


def compose(parts: list[tuple[str, dict[str, Any]]]) -> Callable:
    """Chain augmentations by name.

    Args:
        parts: (name, options) in the order of application.
    Returns:
        `augment(images, indices, seed, epoch)`; images (B, C, H, W) uint8, indices (B,) the pictures' numbers.
        It does not change what it is given; with no parts it hands back `images` itself.
    Raises:
        UserError: an unknown name or option.

    Example:
        >>> augment = compose([(name, {}) for name in PRESETS["light"]])
    """
    _check(parts)
    chain = [(position, name, augmentations.get(name), dict(options)) for position, (name, options) in enumerate(parts)]

    def augment(images: torch.Tensor, indices: torch.Tensor, seed: int, epoch: int) -> torch.Tensor:
        for position, name, part, options in chain:
            images = part(images, _Chance((seed, epoch, position, name), indices, images.device), **options)
        return images

    return augment


class _Chance:
    """`chance(n)`: fresh uniforms of one part for each picture of one batch."""

    def __init__(self, parts: tuple, indices: torch.Tensor, device: torch.device):
        self.parts, self.indices, self.device = parts, indices, device
        self.calls = 0

    def __call__(self, n: int) -> torch.Tensor:
        """Shape: returns (B, n) float32 in [0, 1)."""
        import numpy as np
        import torch

        from ..data.chance import key, uniforms

        numbers = uniforms(key("augment", *self.parts, self.calls), self.indices.cpu().numpy(), n)
        self.calls += 1
        # Cut to 24 bits first: rounding 53 bits to float32 could give 1.0.
        return torch.from_numpy((np.floor(numbers * 2**24) * 2.0**-24).astype(np.float32)).to(self.device)


def _check(parts: list[tuple[str, dict[str, Any]]]) -> None:
    entries = augmentations.entries()
    problems = []
    for position, (name, options) in enumerate(parts):
        if name not in entries:
            problems.append(f"augment[{position}]: '{name}' is unknown. {suggest(name, entries)}")
            continue
        known = entries[name].options
        unknown = [option for option in options if option not in known]
        missing = [o for o, option in known.items() if option.default is REQUIRED and o not in options]
        problems += [f"augment[{position}].{name}.{o}: unknown option. {suggest(o, known)}" for o in unknown]
        problems += [f"augment[{position}].{name}.{o}: is missing. Write a value." for o in missing]
    if problems:
        raise UserError("augment", *problems)
