"""The optimizers of timm, by their names there."""

import torch

from . import optimizers
from .checks import check_positive, check_share


@optimizers.add("timm")
def timm(
    groups: list[dict],
    lr: float,
    *,
    name: str,
    momentum: float | None = None,
    beta1: float | None = None,
    beta2: float | None = None,
    eps: float | None = None,
) -> torch.optim.Optimizer:
    """One of timm's optimizers, with its defaults there; written timm:lamb, or timm:lamb:beta2=0.98.

    Source: each one's own docstring in timm.optim.

    Args:
        name: one of `train.timm_optimizers.NAMES`.
        momentum: in [0, 1); for those that have one (timm's default is 0.9).
        beta1, beta2: in [0, 1), both or none; for those that have two.
        eps: > 0; for those that have one.
    Raises:
        ValueError: an option out of range, or one that this optimizer does not have.
    """
    from timm.optim import create_optimizer_v2, get_optimizer_info

    check_share(momentum=momentum, beta1=beta1, beta2=beta2)
    check_positive(eps=eps)
    info = get_optimizer_info(name)
    if (beta1 is None) != (beta2 is None):
        raise ValueError(f"beta1 is {beta1} and beta2 {beta2}; give both or none.")
    for option, given, has in (
        ("momentum", momentum, info.has_momentum),
        ("beta1", beta1, info.has_betas and info.num_betas == 2),
        ("eps", eps, info.has_eps),
    ):
        if given is not None and not has:
            raise ValueError(f"{option} is {given}, and {name} has none. Leave it out.")
    betas = None if beta1 is None else (beta1, beta2)
    given = {key: value for key, value in (("momentum", momentum), ("betas", betas), ("eps", eps)) if value is not None}
    return create_optimizer_v2(groups, opt=name, lr=lr, **given)
