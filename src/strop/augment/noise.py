"""Noise: Gaussian, speckle, salt and pepper, of photons; or one of them by chance."""

import torch

from . import augmentations
from .hashing import bell_curve, hash_pixels, seeds
from .pixels import change, change_in_place, check_shares, per_picture, toss


@augmentations.add("gaussian-noise")
def gaussian_noise(images, chance, *, strength: float = 0.1, p: float = 0.5):
    """Add to each byte a normal number whose standard deviation is up to strength * 255, with probability p.

    Args:
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("gaussian-noise", strength=strength, p=p)
    chosen, u = toss(chance, p, 3)
    return change(images, chosen, add_noise, strength * u[:, 0], seeds(u[:, 1:]))


@augmentations.add("speckle-noise")
def speckle_noise(images, chance, *, strength: float = 0.2, p: float = 0.5):
    """Multiply each byte by 1 + a normal number whose standard deviation is up to `strength`, with probability p.

    Args:
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("speckle-noise", strength=strength, p=p)
    chosen, u = toss(chance, p, 3)
    return change(images, chosen, multiply_noise, strength * u[:, 0], seeds(u[:, 1:]))


@augmentations.add("salt-pepper")
def salt_pepper(images, chance, *, strength: float = 0.05, p: float = 0.5):
    """Make up to a share `strength` of the pixels black or white, evenly, with probability p.

    Args:
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("salt-pepper", strength=strength, p=p)
    chosen, u = toss(chance, p, 3)
    return change(images, chosen, sprinkle, strength * u[:, 0], seeds(u[:, 1:]))


@augmentations.add("poisson-noise")
def poisson_noise(images, chance, *, strength: float = 0.1, p: float = 0.5):
    """Add the noise of counted photons: at white its standard deviation is up to strength * 255, with probability p.

    variance = byte / 255 * (strength * u * 255)**2, so a white pixel stands for 1 / (strength * u)**2 photons.
    The normal approximation with this variance is drawn, not a count.

    Args:
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("poisson-noise", strength=strength, p=p)
    chosen, u = toss(chance, p, 3)
    return change(images, chosen, count_photons, strength * u[:, 0], seeds(u[:, 1:]))


@augmentations.add("noise")
def noise(images, chance, *, strength: float = 0.5, p: float = 0.5):
    """Put one of the four noises on a picture, each as likely, with probability p.

    At strength 1 they go up to gaussian-noise 0.2, speckle-noise 0.4, salt-pepper 0.1, poisson-noise 0.2.

    Args:
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("noise", strength=strength, p=p)
    chosen, u = toss(chance, p, 4)
    kinds = ((add_noise, 0.2), (multiply_noise, 0.4), (sprinkle, 0.1), (count_photons, 0.2))
    kind = (u[:, 3] * len(kinds)).long()
    noisy = images.clone()
    for number, (function, most) in enumerate(kinds):
        its = (kind == number).nonzero()[:, 0]
        change_in_place(noisy, chosen[its], function, strength * most * u[its, 0], seeds(u[its, 1:3]))
    return noisy


def add_noise(images: torch.Tensor, deviations: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """images + deviations * 255 * normal. Shape: (B, C, H, W) uint8, (B,), (B,) int32. Returns: float32."""
    return _normal(images, seeds).mul_(per_picture(255 * deviations)).add_(images)


def multiply_noise(images: torch.Tensor, deviations: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """images * (1 + deviations * normal). Shape: as `add_noise`."""
    return _normal(images, seeds).mul_(per_picture(deviations)).add_(1).mul_(images)


def count_photons(images: torch.Tensor, deviations: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """images + sqrt(images * 255) * deviations * normal. Shape: as `add_noise`."""
    roots = images.float().mul_(255).sqrt_()
    return _normal(images, seeds).mul_(per_picture(deviations)).mul_(roots).add_(images)


def sprinkle(images: torch.Tensor, shares: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """Black or white in all channels at a share of the pixels. Shape: as `add_noise`; returns uint8."""
    numbers = hash_pixels(seeds, images.shape[2] * images.shape[3]).view(-1, 1, *images.shape[2:])
    white = ((numbers >> 24) & 1).to(torch.uint8) * 255
    hit = (numbers & 0xFFFFFF) < per_picture((shares * 2**24).to(torch.int32))
    return torch.where(hit, white, images)


def _normal(images: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    return bell_curve(hash_pixels(seeds, images[0].numel())).view_as(images)
