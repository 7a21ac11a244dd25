"""Turn, shift, zoom and shear in one go."""

from ..errors import UserError
from . import augmentations
from .pixels import both_ways, change, check_shares, toss
from .warping import affine_maps, warp


@augmentations.add("affine")
def affine(
    images,
    chance,
    *,
    degrees: float = 10.0,
    shift: float = 0.1,
    zoom: float = 0.1,
    shear: float = 0.1,
    strength: float = 1.0,
    p: float = 0.5,
):
    """Shear, zoom, turn and shift a picture about its centre with probability p.

    Each amount is drawn evenly between minus and plus strength * (its option); zooms run from 1 - zoom to 1 + zoom.
    Bilinear; beyond its edges a picture goes on as its mirror image.

    Args:
        degrees: largest angle, 0 to 180.
        shift: largest shift to each side, as a share of that side, 0 to 1.
        zoom: largest magnification, 0 to 0.9.
        shear: largest sideways shift for each pixel of height, 0 to 1.
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("affine", shift=shift, shear=shear, strength=strength, p=p)
    for name, value, most in (("degrees", degrees, 180), ("zoom", zoom, 0.9)):
        if not 0 <= value <= most:
            raise UserError(f"affine.{name}", f"{value} is out of range. Write 0 to {most}.")
    height, width = images.shape[2:]
    chosen, u = toss(chance, p, 5)
    amounts = (strength * both_ways(u)).double()
    maps = affine_maps(
        degrees * amounts[:, 0],
        shift * width * amounts[:, 1],
        shift * height * amounts[:, 2],
        1 + zoom * amounts[:, 3],
        shear * amounts[:, 4],
        0 * amounts[:, 4],
    )
    return change(images, chosen, warp, maps)
