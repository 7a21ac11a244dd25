"""Blend every picture with another one."""

from torch import Tensor

from . import check_mixing, draw_share, mixings


@mixings.add("mixup")
class Mixup:
    """Lay another picture of the batch over each, and its classes over the classes.

    x_i <- lam x_i + (1 - lam) x_j, and so the shares of the classes; lam ~ Beta(alpha, alpha) once a batch, j the
    picture before i in the batch (of the first, the last), which is in random order already.

    Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, arXiv:1710.09412.
    Unlike the authors' code: no picture is blended with itself.

    Args:
        alpha: above 0; small values blend little, 1 is a uniform lam.
        p: probability that a batch is mixed; 0 to 1.
        share: how often it is picked where there are several mixings; above 0.
    Shape:
        images: (B, C, H, W). shares: (B, K). Returns: images float32 in [0, 255], shares float32.
    Raises:
        ValueError: an option out of range.
    """

    def __init__(self, alpha: float = 0.2, p: float = 1.0, share: float = 1.0):
        check_mixing(alpha, p, share)
        self.alpha, self.p, self.share = alpha, p, share

    def __call__(self, images: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        lam = draw_share(self.alpha)
        return _blend(images.float(), images.roll(1, 0), lam), _blend(shares, shares.roll(1, 0), lam)


def _blend(own: Tensor, other: Tensor, lam: float) -> Tensor:
    return (own * lam).add_(other, alpha=1 - lam)
