"""Augmentation of whole batches: one file each, found by its name; presets; composition.

An augmentation is a function `part(images, chance, *, options)`: images (B, C, H, W) uint8 in, a new tensor of the
same kind out. All its randomness comes from `chance(n)`, n fresh uniforms for each picture, so what happens to a
picture depends on (seed, epoch, its number) and never on the batch that it happens to be in. `p` is the
probability that a picture is changed at all; `strength`, 0 (nothing) to 1, says how much, and scales the options in
units of their own (degrees, shares of a side) where a part has such.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import UserError, suggest
from ..registry import REQUIRED, Registry

if TYPE_CHECKING:
    import torch

augmentations = Registry("augmentation", __name__, __path__)

PRESETS: dict[str, list[str | dict[str, dict[str, Any]]]] = {
    "none": [],
    "light": ["hflip", "crop"],
    "standard": ["hflip", "crop", "erase"],
    "strong": ["hflip", "resized-crop", "trivial-augment", {"erase": {"p": 0.25}}],
    "reference": [
        "hflip",
        {"rotate": {"p": 0.3}},
        "crop",
        {"sharpen": {"p": 0.2}},
        {"affine": {"p": 0.3}},
        {"contrast": {"p": 0.3}},
        {"regional-blur": {"p": 0.2}},
        {"regional-flip": {"side": 0.3, "p": 0.2}},
        {"erase": {"side": 0.25, "p": 0.2}},
        {"mosaic": {"side": 0.3, "p": 0.2}},
        {"noise": {"p": 0.2}},
    ],
}
"""What to write for a kind of data: `light` where little else goes on or pictures are tiny; `standard` for most
photographs; `strong` for large networks, long trainings and distillation; `reference` is every family once, seldom
enough that one or two of them meet in a picture. All but `none` mirror left and right: where that changes the class
(text, digits), name the parts instead."""


def preset(name: str) -> list[tuple[str, dict[str, Any]]]:
    """The parts of a preset, as `compose` takes them.

    Raises:
        UserError: there is no preset of this name.

    Example:
        >>> preset("standard")
        [('hflip', {}), ('crop', {}), ('erase', {})]
    """
    if name not in PRESETS:
        raise UserError("augment", f"'{name}' is not a preset. {suggest(name, PRESETS)}")
    parts = [item if isinstance(item, dict) else {item: {}} for item in PRESETS[name]]
    return [(part, dict(options)) for item in parts for part, options in item.items()]


def compose(parts: list[tuple[str, dict[str, Any]]]) -> Callable:
    """Chain augmentations by name.

    Args:
        parts: (name, options) in the order of application.
    Returns:
        `augment(images, indices, seed, epoch)`; images (B, C, H, W) uint8, indices (B,) the pictures' numbers.
        It does not change what it is given; with no parts it hands back `images` itself.
    Raises:
        UserError: an unknown name or option, or a value out of range.

    Example:
        >>> augment = compose(preset("light"))
    """
    _check(parts)
    chain = [(position, name, augmentations.get(name), dict(options)) for position, (name, options) in enumerate(parts)]
    _try(chain)

    def augment(images: torch.Tensor, indices: torch.Tensor, seed: int, epoch: int) -> torch.Tensor:
        for position, name, part, options in chain:
            images = part(images, _Chance((seed, epoch, position, name), indices, images.device), **options)
        return images

    return augment


def _try(chain: list[tuple[int, str, Callable, dict[str, Any]]]) -> None:
    """Call each part with no pictures: each checks its options, and what is wrong is said before any work.

    Such pictures can have sides so large that whatever fits some picture fits them.
    """
    import torch

    none = torch.empty((0, 3, 4096, 4096), dtype=torch.uint8)
    problems = []
    for _, _, part, options in chain:
        try:
            part(none, lambda n: torch.empty((0, n)), **options)
        except UserError as error:
            problems += [f"{error.where}: {problem}" for problem in error.problems]
    if problems:
        raise UserError("augment", *problems)


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
