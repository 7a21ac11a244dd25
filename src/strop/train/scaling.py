"""Gradients that fit into float16: scaled before they are computed, scaled back before the step."""

from __future__ import annotations

import torch
from torch import Tensor


class Unscaled:
    """Gradients as they are."""

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        optimizer.step()

    def state(self) -> dict:
        """What resuming needs, as JSON values."""
        return {}

    def restore(self, state: dict) -> None:
        """Put `state()` back."""


class Scaled(Unscaled):
    """Gradients of scale * loss, so that small ones are no zeros in float16.

    An update with an infinite gradient is left out. The scale, 2**16 at first, is halved after
    it, and doubled after 2,000 updates without one.

    Source: Micikevicius et al., "Mixed Precision Training", ICLR 2018, arXiv:1710.03740, section 3.2.

    Args:
        device: "cpu" or "cuda:N".
    """

    def __init__(self, device: str):
        self._scaler = torch.amp.GradScaler(torch.device(device).type)

    def backward(self, loss: Tensor) -> None:
        self._scaler.scale(loss).backward()

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        self._scaler.unscale_(optimizer)  # before what hangs on the step, such as clipping
        self._scaler.step(optimizer)
        self._scaler.update()

    def state(self) -> dict:
        return self._scaler.state_dict()

    def restore(self, state: dict) -> None:
        if state:
            self._scaler.load_state_dict(state)


UNSCALED = Unscaled()


def make_scaling(precision: str, device: str) -> Unscaled:
    """`Scaled` for "fp16", else `Unscaled`."""
    return Scaled(device) if precision == "fp16" else UNSCALED
