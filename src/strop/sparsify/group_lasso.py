"""Group lasso: channels that don't pay become zero as a whole, in every layer that knows them."""

import torch
import torch.nn as nn
from torch import Tensor

from . import regularisers
from .channels import find_channels
from .weights import check_strength, trained_weights


@regularisers.add("group-lasso")
class GroupLasso:
    """Pull whole channels to zero: what makes, scales, shifts and reads them. Frozen layers are left alone.

    v_c <- v_c * max(1 - lr * strength * sqrt(n_c) / ||v_c||_2, 0) after each update, the proximal step of
    strength * sum over channels c of sqrt(n_c) ||v_c||_2. v_c are the n_c weights of channel c: the rows of all layers
    that make it, the scales and shifts of its norms, the columns of all layers that read it, through every shortcut, as
    `strop prune` would remove them. So a zero channel is silent, and removing it changes nothing.

    Source: Yuan and Lin, "Model Selection and Estimation in Regression with Grouped Variables", JRSS B 2006; for
    networks Wen et al., "Learning Structured Sparsity in Deep Neural Networks", NeurIPS 2016, arXiv:1608.03665; over
    coupled layers Fang et al., "DepGraph", CVPR 2023, arXiv:2301.12900.
    Unlike them: proximal steps, so zeros are exact. A weight that reads one channel and makes another lies in both, and
    takes the two steps one after the other, in the order of the layers.

    Args:
        strength: factor on the norm; >= 0.
        over: "channels", or "filters" for the rows of each convolution and linear layer by themselves, which also works
            where channels can't be followed through a network.
    Raises:
        ValueError: strength < 0, or another word in `over`.
    """

    label = "group lasso"

    def __init__(self, strength: float = 1e-4, over: str = "channels"):
        self.strength = check_strength(strength)
        if over not in ("channels", "filters"):
            raise ValueError(f"over is '{over}'. Write channels or filters.")
        self.over = over
        self._groups = None

    def begin(self, model: nn.Module, example: Tensor) -> None:
        """Find the channels. Raises UserError where they can't be followed."""
        self._groups = find_channels(model, example) if self.over == "channels" else None

    @torch.no_grad()
    def __call__(self, model: nn.Module, lr: float, update: int = 0) -> None:
        if self.over == "filters":
            for weight in trained_weights(model):
                rows = weight.flatten(1)
                kept = self._kept(torch.linalg.vector_norm(rows, dim=1), rows.shape[1], lr)
                weight.mul_(kept.view(-1, *[1] * (weight.ndim - 1)))
            return
        if self._groups is None:
            raise RuntimeError("begin(model, example) comes before the first update")
        for channels in self._groups:
            channels.scale(self._kept(channels.norms(), channels.sizes, lr))

    def _kept(self, norms: Tensor, sizes: Tensor | int, lr: float) -> Tensor:
        return (1 - lr * self.strength * sizes**0.5 / norms.clamp_min(1e-30)).clamp_min(0)
