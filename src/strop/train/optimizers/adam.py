"""Adam, with the weight decay in the gradient or beside it."""

import torch

from . import optimizers
from .checks import check_positive, check_share


@optimizers.add("adam")
def adam(
    groups: list[dict], lr: float, *, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
) -> torch.optim.Optimizer:
    """Steps of one size for all weights; the weight decay is added to the gradient.

    w <- w - lr m / (sqrt(v) + eps), m and v the running means of g and g**2, corrected for their start at 0.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, arXiv:1412.6980.

    Args:
        beta1, beta2: how slowly the means move; in [0, 1).
        eps: keeps steps finite where the gradient is 0; > 0.
    Raises:
        ValueError: an option out of range.
    """
    check_share(beta1=beta1, beta2=beta2)
    check_positive(eps=eps)
    return torch.optim.Adam(groups, lr=lr, betas=(beta1, beta2), eps=eps)


@optimizers.add("adamw")
def adamw(
    groups: list[dict], lr: float, *, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
) -> torch.optim.Optimizer:
    """Adam, with a weight decay that is no part of the gradient.

    w <- w (1 - lr weight_decay) - lr m / (sqrt(v) + eps).

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, arXiv:1711.05101.

    Args:
        beta1, beta2: how slowly the means move; in [0, 1).
        eps: keeps steps finite where the gradient is 0; > 0.
    Raises:
        ValueError: an option out of range.
    """
    check_share(beta1=beta1, beta2=beta2)
    check_positive(eps=eps)
    return torch.optim.AdamW(groups, lr=lr, betas=(beta1, beta2), eps=eps)
