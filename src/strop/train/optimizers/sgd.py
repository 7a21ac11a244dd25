"""Stochastic gradient descent."""

import torch

from . import optimizers
from .checks import check_share


@optimizers.add("sgd")
def sgd(groups: list[dict], lr: float, *, momentum: float = 0.9, nesterov: bool = True) -> torch.optim.Optimizer:
    """Follow the gradient with momentum; the weight decay is added to the gradient.

    v <- momentum v + g; w <- w - lr (g + momentum v) with nesterov, else w - lr v.

    Source: Sutskever et al., "On the Importance of Initialization and Momentum in Deep Learning", ICML 2013.

    Args:
        momentum: in [0, 1); 0 is plain descent, where nesterov means nothing.
        nesterov: look ahead by one step of the momentum.
    Raises:
        ValueError: momentum out of range.
    """
    check_share(momentum=momentum)
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov and momentum > 0)
