"""Mirror left and right."""

from . import augmentations
from .pixels import check_shares, toss


@augmentations.add("hflip")
def hflip(images, chance, *, p: float = 0.5):
    """Mirror a picture left to right with probability p.

    Args:
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: p is out of range.
    """
    check_shares("hflip", p=p)
    chosen, _ = toss(chance, p, 0)
    return images.index_copy(0, chosen, images[chosen].flip(3))
