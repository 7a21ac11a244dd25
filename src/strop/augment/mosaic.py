"""Make a part of the picture unrecognisable."""

import torch

from ..errors import UserError
from . import augmentations
from .boxes import cut_boxes, place_boxes, side_in_pixels, write_boxes
from .pixels import change, check_shares, toss


@augmentations.add("mosaic")
def mosaic(images, chance, *, side: float = 0.4, cells: int = 3, strength: float = 1.0, p: float = 0.5):
    """Replace what is in a random square by cells x cells flat tiles of its mean colours, with probability p.

    The square has about strength * side * min(H, W) pixels a side, a multiple of `cells` where there is room for it,
    and lies inside the picture. Unlike `erase`, colours and their rough places stay.

    Args:
        side: share of the shorter side, 0 to 1.
        cells: tiles along a side, 1 to 64; fewer where they would be smaller than 2 pixels.
        strength: 0 to 1; 0 changes nothing.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("mosaic", side=side, strength=strength, p=p)
    if not 1 <= cells <= 64:
        raise UserError("mosaic.cells", f"{cells} is out of range. Write 1 to 64, such as 3.")
    pixels = side_in_pixels(images, strength * side)
    tile = max(2, round(pixels / cells))
    cells = min(cells, pixels // tile)
    chosen, u = toss(chance, p, 2)
    places = place_boxes(u, images, cells * tile)
    return change(images, chosen, lambda pictures, boxes: tile_boxes(pictures, boxes, tile), places)


def tile_boxes(images: torch.Tensor, places: torch.Tensor, tile: int) -> torch.Tensor:
    """Replace each tile x tile pixels of the boxes by their rounded mean.

    Shape:
        images: (B, C, H, W) uint8. places: (B, side * side), side a multiple of tile. Returns: uint8.
    """
    boxes = cut_boxes(images, places)
    if not boxes.numel():
        return images
    tiles = boxes.unflatten(3, (-1, tile)).unflatten(2, (-1, tile))
    total = tiles.sum(dim=(3, 5), keepdim=True, dtype=torch.int32)
    means = ((total + tile * tile // 2) // (tile * tile)).to(torch.uint8)
    return write_boxes(images, places, means.expand_as(tiles).reshape_as(boxes))
