"""A few operations for each picture, at one strength."""

import torch

from ..errors import UserError
from . import augmentations
from .pixels import check_shares, toss
from .policy import apply_in_place


@augmentations.add("rand-augment")
def rand_augment(images, chance, *, operations: int = 2, strength: float = 0.3, p: float = 1.0):
    """Apply to a picture several operations of trivial-augment, one after the other, with probability p.

    Each is picked anew and has magnitude `strength`, in either direction.

    Source: Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space",
    NeurIPS 2020, arXiv:1909.13719.
    Unlike the authors' code: the ranges and the departures of `trivial-augment`; strength 0.3 is their
    magnitude 9 of 30.

    Args:
        operations: how many, 1 to 10.
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("rand-augment", strength=strength, p=p)
    if not 1 <= operations <= 10:
        raise UserError("rand-augment.operations", f"{operations} is out of range. Write 1 to 10, such as 2.")
    chosen, u = toss(chance, p, 2 * operations)
    augmented = images.clone()
    for number in range(operations):
        which, direction = u[:, 2 * number], u[:, 2 * number + 1]
        apply_in_place(augmented, chosen, which, torch.where(direction < 0.5, -strength, strength).to(u.dtype))
    return augmented
