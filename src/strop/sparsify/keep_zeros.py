"""Zeros that stay: weights that were pruned one by one are trained around."""

import torch
import torch.nn as nn
from torch import Tensor

from . import regularisers
from .weights import trained_weights


@regularisers.add("keep-zeros")
class KeepZeros:
    """Keep the weights of convolutions and linear layers that are zero at the start exactly zero.

    w <- w where it was not zero before the first update, else 0, after each update. Begin from a run with zeros
    (--parent); `strop prune --method unstructured` fine-tunes so.

    Source: Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NeurIPS 2015,
    arXiv:1506.02626: "retrain the remaining connections".
    """

    label = "zeros kept"

    def __init__(self):
        self._zeros: list[tuple[Tensor, Tensor]] = []

    def begin(self, model: nn.Module, example: Tensor) -> None:
        """Note which weights are zero."""
        self._zeros = [(weight, weight == 0) for weight in trained_weights(model)]

    @torch.no_grad()
    def __call__(self, model: nn.Module, lr: float, update: int = 0) -> None:
        for weight, zeros in self._zeros:
            weight.masked_fill_(zeros, 0)
