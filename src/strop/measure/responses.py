"""How strongly each layer responds to pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


@torch.inference_mode()
def response_sds(net: nn.Module, batches: Iterable[Tensor]) -> dict[str, float]:
    """Standard deviation of each layer's response, over pictures, channels and positions.

    The response of a convolution or linear layer is its output behind the normalisation that follows it directly,
    where one does, and before the nonlinearity.

    Source: He et al., "Deep Residual Learning", CVPR 2016, arXiv:1512.03385, figure 7. There, residual networks
    respond less than plain ones, and deeper ones less in each layer.

    Args:
        net: left in the mode it is in when done; run in eval mode.
        batches: what the network takes, (B, C, H, W) float.
    Returns:
        module path -> sd, in the order in which layers run.
    """
    sums = _Sums()
    hooks = [
        module.register_forward_hook(sums.after_layer(name) if isinstance(module, _LAYERS) else sums.after_norm)
        for name, module in net.named_modules()
        if isinstance(module, (*_LAYERS, *_NORMS))
    ]
    was_training = net.training
    try:
        net.eval()
        for batch in batches:
            net(batch)
            sums.settle()
    finally:
        net.train(was_training)
        for hook in hooks:
            hook.remove()
    return sums.sds()


class _Sums:
    """Counts, sums and sums of squares by layer; the last output waits for a norm that may follow."""

    def __init__(self):
        self.found: dict[str, list[float]] = {}
        self.waiting: tuple[str, Tensor, tuple[float, float, float]] | None = None

    def after_layer(self, name: str):
        def note(module: nn.Module, given: tuple, output: Tensor) -> None:
            self.settle()
            self.waiting = (name, output, _moments(output))  # now: what follows may change it in place

        return note

    def after_norm(self, module: nn.Module, given: tuple, output: Tensor) -> None:
        if self.waiting is not None and given[0] is self.waiting[1]:
            self.waiting = (self.waiting[0], output, _moments(output))
        self.settle()

    def settle(self) -> None:
        if self.waiting is not None:
            name, _, moments = self.waiting
            total = self.found.setdefault(name, [0.0, 0.0, 0.0])
            self.found[name] = [a + b for a, b in zip(total, moments, strict=True)]
            self.waiting = None

    def sds(self) -> dict[str, float]:
        return {
            name: math.sqrt(max(0.0, squares / n - (total / n) ** 2))
            for name, (n, total, squares) in self.found.items()
        }


def _moments(output: Tensor) -> tuple[float, float, float]:
    values = output.double()
    return float(values.numel()), float(values.sum()), float((values**2).sum())
