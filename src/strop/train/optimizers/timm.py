"""The optimizers of timm, by their names there."""

import torch

from . import optimizers
from .checks import check_positive, check_share

# timm.optim.list_optimizers() of the version in constraints.txt, without those that need a CUDA library (bnb*,
# fused*), a second derivative (adahessian), or a state that no checkpoint could hold (kron*).
NAMES = """
    adabelief adadelta adafactor adafactorbv adafactorbvc adagrad adam adamax adamc adamp adamuon adamw adamwlegacy adan
    adanw adopt adoptc adoptw cadafactor cadafactorbv cadafactorbvc cadamc cadamp cadamw cadan cadanw cadopt cadoptc
    cadoptw clamb clambw claprop clion clionc cmars cnadamc cnadamw crmsproptf csgdc csgdp csgdw lamb lambc lambcd
    lambcw lambw laprop lapropc larc lars lion lionc madgrad madgradw mars momentum muon nadam nadamc nadamlegacy
    nadamuon nadamw nesterov nesterovw nlarc nlars nmuon novograd novogradc novogradw radabelief radam radamlegacy
    radamw rmsprop rmsproptf rmsproptfc rmsproptfw sgd sgdc sgdp sgdw
""".split()


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
        name: one of `NAMES`.
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
