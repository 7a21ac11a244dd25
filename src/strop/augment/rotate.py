"""Turn about the centre."""

from ..errors import UserError
from . import augmentations
from .pixels import both_ways, change, check_shares, toss
from .warping import turn


@augmentations.add("rotate")
def rotate(images, chance, *, degrees: float = 15.0, strength: float = 1.0, p: float = 0.5):
    """Turn a picture by up to strength * degrees to either side, with probability p.

    Bilinear; the corners show the picture's mirror image, so no black borders teach the model something about borders.

    Args:
        degrees: largest angle, 0 to 180.
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("rotate", strength=strength, p=p)
    if not 0 <= degrees <= 180:
        raise UserError("rotate.degrees", f"{degrees} is out of range. Write 0 to 180, such as 15.")
    chosen, u = toss(chance, p)
    return change(images, chosen, turn, strength * degrees * both_ways(u[:, 0]))
