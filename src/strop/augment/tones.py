"""Change the scale of tones: posterize, solarize, autocontrast, equalize."""

import torch

from . import augmentations
from .pixels import blend, change, check_shares, per_picture, toss


@augmentations.add("posterize")
def posterize(images, chance, *, strength: float = 0.5, p: float = 0.5):
    """Keep only the upper bits of each byte, 8 down to 8 - round(6 * strength) of them, with probability p.

    Args:
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("posterize", strength=strength, p=p)
    chosen, u = toss(chance, p)
    return change(images, chosen, drop_bits, strength * u[:, 0])


@augmentations.add("solarize")
def solarize(images, chance, *, strength: float = 0.5, p: float = 0.5):
    """Invert the bytes above 255 * (1 - strength * u), with probability p.

    Args:
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("solarize", strength=strength, p=p)
    chosen, u = toss(chance, p)
    return change(images, chosen, invert_above, strength * u[:, 0])


@augmentations.add("autocontrast")
def autocontrast(images, chance, *, strength: float = 1.0, p: float = 0.5):
    """Stretch each channel to 0..255 and blend that in with weight strength * u, with probability p.

    Args:
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("autocontrast", strength=strength, p=p)
    chosen, u = toss(chance, p)
    return change(images, chosen, stretch, strength * u[:, 0])


@augmentations.add("equalize")
def equalize(images, chance, *, strength: float = 1.0, p: float = 0.5):
    """Make all tones of a channel as frequent and blend that in with weight strength * u, with probability p.

    Args:
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("equalize", strength=strength, p=p)
    chosen, u = toss(chance, p)
    return change(images, chosen, flatten_histogram, strength * u[:, 0])


def drop_bits(images: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    """Clear the lowest round(6 * amounts) bits. Shape: (B, C, H, W) uint8, amounts (B,) in [0, 1]. Returns: uint8."""
    bits = (6 * amounts).round().long()
    masks = (256 - (1 << bits)).to(torch.uint8)
    return images & per_picture(masks)


def invert_above(images: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    """255 - byte where byte > 255 * (1 - amount). Shape: as `drop_bits`."""
    limits = (255 * (1 - amounts)).floor().to(torch.uint8)
    return torch.where(images > per_picture(limits), 255 - images, images)


def stretch(images: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    """Blend in (byte - low) * 255 / (high - low), channel by channel; flat channels stay. Returns: float32."""
    flat = images.flatten(2)
    low, high = flat.amin(2)[..., None, None].float(), flat.amax(2)[..., None, None].float()
    scale = torch.where(high > low, 255 / (high - low).clamp(min=1), torch.ones_like(high))
    stretched = images.float().sub_(low.where(high > low, torch.zeros_like(low))).mul_(scale)
    return blend(images, stretched, 1 - amounts)


def flatten_histogram(images: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    """Blend in the picture whose channels have a flat histogram, by the look-up table that Pillow uses.

    table[v] = (pixels below v + step // 2) // step with step = (pixels - pixels of the highest tone) // 255;
    a channel with step 0 stays as it is.

    Shape:
        images: (B, C, H, W) uint8. amounts: (B,) in [0, 1]. Returns: float32, not rounded.
    """
    tones = images.flatten(2).long()
    counts = torch.zeros(*images.shape[:2], 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(2, tones, torch.ones_like(tones))
    highest = tones.amax(2, keepdim=True)
    step = (tones.shape[2] - counts.gather(2, highest)) // 255
    below = counts.cumsum(2) - counts
    table = ((below + step // 2) // step.clamp(min=1)).clamp_(max=255)
    table = torch.where(step > 0, table, torch.arange(256, device=images.device))
    return blend(images, table.gather(2, tones).view_as(images).float(), 1 - amounts)
