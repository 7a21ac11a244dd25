"""One operation for each picture, at a random strength."""

from . import augmentations
from .pixels import both_ways, check_shares, toss
from .policy import apply_in_place


@augmentations.add("trivial-augment")
def trivial_augment(images, chance, *, strength: float = 1.0, p: float = 1.0):
    """Apply to a picture one of 14 operations at a magnitude drawn evenly up to `strength`, with probability p.

    The operations: identity, shear and shift along either side, rotate (135 degrees at strength 1), brightness,
    saturation, contrast, sharpness, posterize (2 bits), solarize, autocontrast, equalize.

    Source: Müller, Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", ICCV 2021,
    arXiv:2103.10158; the "wide" ranges.
    Unlike the authors' code: magnitudes are not one of 31 levels; a shift is at most a third of the side where theirs
    is 32 pixels at any size; autocontrast and equalize are blended in by the magnitude; pixels are looked up
    bilinearly; beyond its edges lies the picture's mirror image, not black.

    Args:
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("trivial-augment", strength=strength, p=p)
    chosen, u = toss(chance, p, 2)
    augmented = images.clone()
    apply_in_place(augmented, chosen, u[:, 0], strength * both_ways(u[:, 1]))
    return augmented
