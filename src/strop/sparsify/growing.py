"""Growing regularisation: the channels that will go are pressed to zero ever harder before they are removed."""

import torch
import torch.nn as nn
from torch import Tensor

from . import regularisers
from .channels import find_channels


@regularisers.add("growing")
class Growing:
    """Choose a share of the channels once, and let an L2 penalty on them grow. Frozen layers are left alone.

    v_c <- v_c / (1 + lr * s_u) after update u for the chosen channels, s_u = min(step * floor(u / every), ceiling): the
    proximal step of s_u / 2 * ||v_c||_2^2. v_c is everything that makes, scales, shifts and reads channel c, as in
    `group-lasso`. Chosen are, in each group, the channels with the smallest 1-norm of what makes them, at the weights
    that training starts from: begin from a trained run (--parent).

    Source: Wang et al., "Neural Pruning via Growing Regularization", ICLR 2021, arXiv:2012.09243: GReg-1, with the
    step of 1e-4 each 5 updates and the ceiling of 1 that the authors' code has for ImageNet.
    Unlike them: the whole channel over all coupled layers, not the filter alone (a norm behind it would undo that); a
    proximal step instead of a gradient, stable at any strength; no stabilising phase of its own, which is what is left
    of the training after the ceiling is reached (after every * ceiling / step updates).

    Args:
        share: of each group's channels, rounded down; in (0, 1).
        step: what the penalty grows by; > 0.
        every: updates between two growths; >= 1.
        ceiling: where it stops; > 0.
    Raises:
        ValueError: an option out of its range.
    """

    label = "growing L2"

    def __init__(self, share: float = 0.5, step: float = 1e-4, every: int = 5, ceiling: float = 1.0):
        if not 0 < share < 1:
            raise ValueError(f"share is {share}; it must be between 0 and 1.")
        for name, value in (("step", step), ("every", every), ("ceiling", ceiling)):
            if value <= 0:
                raise ValueError(f"{name} is {value}; it must be above 0.")
        self.share, self.step, self.every, self.ceiling = share, step, every, ceiling
        self._chosen: list[tuple] = []

    def begin(self, model: nn.Module, example: Tensor) -> None:
        """Choose the channels. Raises UserError where they can't be followed."""
        self._chosen = []
        with torch.no_grad():
            for channels in find_channels(model, example):
                order = channels.magnitudes().argsort(stable=True)
                chosen = torch.zeros(channels.width, dtype=torch.bool, device=order.device)
                chosen[order[: int(self.share * channels.width)]] = True
                self._chosen.append((channels, chosen))

    def at(self, update: int) -> float:
        """The strength of the penalty after so many updates.

        >>> Growing(step=0.1, every=10, ceiling=0.25).at(25)
        0.2
        """
        return min(self.step * (update // self.every), self.ceiling)

    @torch.no_grad()
    def __call__(self, model: nn.Module, lr: float, update: int = 0) -> None:
        factor = 1 / (1 + lr * self.at(update))
        for channels, chosen in self._chosen:
            channels.scale(torch.where(chosen, factor, 1.0))
