"""Mirror top and bottom."""

from . import augmentations
from .pixels import check_shares, toss


@augmentations.add("vflip")
def vflip(images, chance, *, p: float = 0.5):
    """Mirror a picture top to bottom with probability p.

    Args:
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: p is out of range.
    """
    check_shares("vflip", p=p)
    chosen, _ = toss(chance, p, 0)
    return images.index_copy(0, chosen, images[chosen].flip(2))
