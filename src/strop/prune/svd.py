"""Large layers as products of two thin ones, to a budget: truncated singular value decomposition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import GateFailed
from ..models.counts import layer_positions
from ..models.factoring import Factored, can_be_factored, factor
from .budget import Plan, bisect, relax, width_step

THIN = 16  # a layer with fewer inputs or outputs is left as it is
LISTED = 200  # bytes, at most, that a tensor more takes in the list of a file, beside its name
DEAREST, CHEAPEST = 20.0, -60.0  # exponents of e: nats of energy for a unit of the budget


class Spectrum(NamedTuple):
    """A layer that can be factored.

    Attributes:
        energy: (R,) squares of its singular values, the largest first, over their sum.
        whole: what the layer costs as it is, in the unit of the budget.
        first, each: what a factored one costs: first + rank * each.
    """

    energy: np.ndarray
    whole: int
    first: int
    each: int

    def ranks(self, step: int) -> np.ndarray:
        """The ranks that cost less than the layer itself, in multiples of `step`; at last the full one."""
        most = (self.whole - self.first - 1) // self.each
        return np.append(np.arange(step, most + 1, step), len(self.energy))

    def cost(self, rank: int | np.ndarray) -> int | np.ndarray:
        return np.where(np.equal(rank, len(self.energy)), self.whole, self.first + self.each * np.asarray(rank))

    def loss(self, ranks: np.ndarray) -> np.ndarray:
        """-ln of the energy that a rank keeps; nothing for the full one."""
        kept = np.clip(np.cumsum(self.energy)[ranks - 1], np.finfo(float).tiny, 1.0)
        return np.where(ranks == len(self.energy), 0.0, -np.log(kept))


@torch.no_grad()
def spectra(net: nn.Module, example: Tensor, kind: str) -> dict[str, Spectrum]:
    """The layers of a network that can be factored, by name.

    Those are the plain convolutions and linear layers that a picture passes, with at least 16 inputs and outputs,
    whose weight is no other layer's too.

    Args:
        example: (B, C, H, W) that the network accepts.
        kind: "params", "macs" or "bytes": the unit of the costs.
    """
    (places, _), found = layer_positions(net, example), {}
    owners = [id(p) for module in net.modules() for p in module.parameters(recurse=False)]
    for name, layer in net.named_modules():
        if not can_be_factored(layer) or f"{name}.weight" not in places or owners.count(id(layer.weight)) > 1:
            continue
        outputs, inputs = layer.weight.flatten(1).shape
        if min(outputs, inputs) < THIN:
            continue
        unit = {"params": 1, "macs": places[f"{name}.weight"], "bytes": layer.weight.element_size()}[kind]
        listed = LISTED + 2 * len(name) if kind == "bytes" else 0
        energy = _decompose(layer.weight)[0].clamp_min(0).numpy()[::-1]
        energy = energy / max(energy.sum(), np.finfo(float).tiny)
        found[name] = Spectrum(energy, unit * outputs * inputs, listed, unit * (outputs + inputs))
    return found


def choose_ranks(found: Mapping[str, Spectrum], rest: int, limit: int, *, round_to: int) -> Plan:
    """The rank of each layer, so that the whole is at or under the limit; the full rank leaves a layer as it is.

    The product over the layers of the energy that they keep is to be large:

        minimise sum over layers of -ln E_l(r_l) + price * cost_l(r_l)

    with one price for all, found by bisection; then ranks are given back, those that bring most for their cost, while
    they fit. Ranks are multiples of `round_to`, or of less where the budget can't be met otherwise.

    Source: Zhang et al., "Accelerating Very Deep Convolutional Networks for Classification and Detection", 2016,
    arXiv:1505.06798, section 2.4: the product of the energies under a budget of complexity.
    Unlike it: energies are of the weights and not of responses; a price and not steps of a greedy search.

    Args:
        rest: what all else costs.
        limit: the budget.
    Raises:
        GateFailed: with rank 1 everywhere the network is over the limit.
    """
    plan = relax(lambda step: _at_price(found, rest, limit, step), limit, round_to)
    if plan is None:
        least = rest + sum(int(one.cost(1)) if len(one.ranks(1)) > 1 else one.whole for one in found.values())
        raise GateFailed(
            f"the budget of {limit:,} can't be met: with rank 1 in every layer that can be factored {least:,} remain. "
            "Give a larger budget."
        )
    return plan


def _at_price(found: Mapping[str, Spectrum], rest: int, limit: int, step: int) -> Plan | None:
    options = {name: one.ranks(width_step(len(one.energy), step)) for name, one in found.items()}
    losses = {name: one.loss(options[name]) for name, one in found.items()}
    costs = {name: one.cost(options[name]) for name, one in found.items()}

    def choose(share: float) -> dict[str, int]:
        price = math.exp(DEAREST + share * (CHEAPEST - DEAREST))
        return {name: int(np.argmin(losses[name] + price * costs[name])) for name in found}

    def total(places: Mapping[str, int]) -> int:
        return rest + int(sum(costs[name][place] for name, place in places.items()))

    best = bisect(choose, total, limit)
    if best is None:
        return None
    _give_back(best, losses, costs, limit - total(best))
    return Plan({name: int(options[name][place]) for name, place in best.items()}, total(best), step)


def _give_back(places: dict[str, int], losses: Mapping, costs: Mapping, room: int) -> None:
    """Take the next rank of the layer where it brings most for its cost, as long as one fits into the room."""

    def gain(name: str) -> tuple[float, int]:
        place = places[name]
        if place + 1 == len(costs[name]):
            return -1.0, 0
        more = int(costs[name][place + 1] - costs[name][place])
        return (float(losses[name][place] - losses[name][place + 1]) / max(more, 1) if more <= room else -1.0), more

    while places:
        name = max(places, key=lambda name: gain(name)[0])
        worth, more = gain(name)
        if worth < 0:
            return
        places[name] += 1
        room -= more


@torch.no_grad()
def factorize(net: nn.Module, ranks: Mapping[str, int]) -> None:
    """Write the named layers as two of a rank, in place: the nearest matrix of that rank in the Frobenius norm.

    W = U S V' with W (O, I k k); the first layer is sqrt(S_r) V_r', the second U_r sqrt(S_r), with the r largest
    singular values. At full rank the network computes what it did, up to rounding.

    Source: Denton et al., "Exploiting Linear Structure Within Convolutional Networks for Efficient Evaluation", 2014,
    arXiv:1404.0736 (linear layers); Zhang et al., arXiv:1505.06798, section 2.1 (convolutions: k x k, then 1 x 1).
    Unlike the latter: of the weights, not of the responses to pictures.
    """
    layers = {name: net.get_submodule(name) for name in ranks}
    factor(net, ranks)
    for name, layer in layers.items():
        made = net.get_submodule(name)
        _fill(made, layer)


def _fill(made: Factored, layer: nn.Module) -> None:
    squares, vectors = _decompose(layer.weight)
    top = vectors[:, -made.rank :].flip(1)
    scale = squares[-made.rank :].flip(0).clamp_min(torch.finfo(torch.float32).tiny) ** 0.25  # sqrt of sigma
    matrix = layer.weight.flatten(1).double()
    if matrix.shape[0] <= matrix.shape[1]:  # U is known, and sqrt(S) V' = U' W / sqrt(S)
        first, second = (top.T @ matrix) / scale[:, None], top * scale
    else:
        first, second = top.T * scale[:, None], (matrix @ top) / scale
    for place, values in zip(made, (first, second), strict=True):
        place.to(layer.weight.device, layer.weight.dtype)
        place.weight.copy_(values.view_as(place.weight))
    if layer.bias is not None:
        made[1].bias.copy_(layer.bias)


def _decompose(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Squares of the singular values of the matrix, rising, and the singular vectors of its shorter side, in float64.

    From the eigenvalues of W W' or W' W: for a wide matrix that is many times faster than the decomposition itself,
    and float64 leaves more digits than float32 weights have.
    """
    matrix = weight.detach().flatten(1).double()
    matrix = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    return torch.linalg.eigh(matrix @ matrix.T)
