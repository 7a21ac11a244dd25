"""Turn the colour circle."""

import torch

from . import augmentations
from .pixels import both_ways, change, check_shares, toss


@augmentations.add("hue")
def hue(images, chance, *, strength: float = 0.1, p: float = 0.5):
    """Turn a picture's colours by up to strength * 180 degrees to either side, with probability p.

    Pictures that do not have three channels stay as they are.

    Args:
        strength: 0 to 1; 0 changes nothing, 0.1 is torchvision's hue=0.05.
        p: 0 to 1.
    Shape:
        images: (B, C, H, W). Returns: the same.
    Raises:
        UserError: an option is out of range.
    """
    check_shares("hue", strength=strength, p=p)
    chosen, u = toss(chance, p)
    return change(images, chosen, adjust_hue, 0.5 * strength * both_ways(u[:, 0]))


def adjust_hue(images: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
    """Add to the hue of HSV, keeping saturation and value.

    A channel of a colour is low + chroma * w(hue), where w is the same trapezium over the colour circle for red, green
    and blue, a third of the circle apart.

    Args:
        shifts: shares of the circle, -1 to 1.
    Shape:
        images: (B, C, H, W) uint8. shifts: (B,). Returns: float32, not rounded; `images` if C is not 3.
    """
    if images.shape[1] != 3:
        return images
    pixels = images.float()
    low = pixels.amin(1)
    chroma = pixels.amax(1).sub_(low)
    sixths = _hue(pixels, low, chroma).add_((6 * shifts)[:, None, None])
    sixths = sixths.sub_(sixths.div(6).floor_().mul_(6))
    pixels[:, 0] = (sixths - 3).abs_().sub_(1)
    pixels[:, 1] = (sixths - 2).abs_().neg_().add_(2)
    pixels[:, 2] = sixths.sub_(4).abs_().neg_().add_(2)
    return pixels.clamp_(0, 1).mul_(chroma[:, None]).add_(low[:, None])


def _hue(pixels: torch.Tensor, low: torch.Tensor, chroma: torch.Tensor) -> torch.Tensor:
    """Hue in sixths of the circle, -1 to 5; 0 for greys. Shape: (B, H, W)."""
    red, green, blue = pixels.unbind(1)
    high = low + chroma
    divisor = chroma.clamp(min=1)
    by_blue = (red - green).div_(divisor).add_(4)
    by_green = (blue - red).div_(divisor).add_(2)
    by_red = (green - blue).div_(divisor)
    return torch.where(red == high, by_red, torch.where(green == high, by_green, by_blue))
