"""Rounding as the deployed file rounds, in a network that trains; the gradient passes straight through."""

from __future__ import annotations

import torch
from torch import Tensor
from torchao.quantization.pt2e import FakeQuantizeBase

MOVES = 0.01  # share of a batch in the moving average of the ranges, after as many batches as that takes
LEVELS = 255


class PerChannelWeights(FakeQuantizeBase):
    """w_q = s_c round(w / s_c), s_c = max |w_c| / n, n = 2^(bits - 1) - 1: the scales of `weights.channel_scales`.

    They are those of the weights as they are, so there is no state.

    Args:
        quant_max: n.
        ch_axis: of the output channels. (torchao gives it to classes with "PerChannel" in their name.)
    """

    def __init__(self, dtype: torch.dtype, quant_min: int, quant_max: int, qscheme, ch_axis: int, **_):
        super().__init__()
        self.dtype, self.quant_min, self.quant_max = dtype, quant_min, quant_max
        self.qscheme, self.ch_axis = qscheme, ch_axis
        self.scales = torch.ones(1)

    def forward(self, weights: Tensor) -> Tensor:
        others = [axis for axis in range(weights.ndim) if axis != self.ch_axis]
        scales = weights.detach().float().abs().amax(others) / self.quant_max
        self.scales = torch.where(scales < torch.finfo(torch.float32).tiny, 1.0, scales)
        zero = torch.zeros_like(self.scales, dtype=torch.int32)
        where = (self.ch_axis, self.quant_min, self.quant_max)
        return torch.fake_quantize_per_channel_affine(weights, self.scales, zero, *where)

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Scales and zero points of the last forward pass. Shape: two (C,)."""
        return self.scales.cpu(), torch.zeros(len(self.scales), dtype=torch.int64)


class PerTensorRange(FakeQuantizeBase):
    """x_q = s (clamp(round(x / s) + z, 0, 255) - z), s = (high - low) / 255, z = round(-low / s).

    low and high are, in training mode, moving averages of the extremes of batches; the range holds 0.

    Source: Jacob et al., CVPR 2018, arXiv:1712.05877, section 3.1. Unlike it: the first batches are averaged evenly.

    Attributes:
        is_due: the next values count. Of the places that share a range only the first counts, so that a pooling behind
            it does not narrow it.
    """

    is_due = True

    def __init__(self, dtype: torch.dtype, quant_min: int, quant_max: int, qscheme, **_):
        super().__init__()
        self.dtype, self.quant_min, self.quant_max, self.qscheme = dtype, quant_min, quant_max, qscheme
        for name in ("low", "high", "batches"):
            self.register_buffer(name, torch.zeros(()))

    def forward(self, values: Tensor) -> Tensor:
        if self.training and self.is_due:
            self.is_due = False
            self._follow(values.detach())
        scale, zero = self._grid()
        return torch.fake_quantize_per_tensor_affine(values, scale, zero, self.quant_min, self.quant_max)

    @torch.no_grad()
    def _follow(self, values: Tensor) -> None:
        low, high = torch.aminmax(values)
        self.batches += 1
        share = (1 / self.batches).clamp_min(MOVES)
        self.low.lerp_(low.float().clamp_max(0), share)
        self.high.lerp_(high.float().clamp_min(0), share)

    def _grid(self) -> tuple[Tensor, Tensor]:
        scale = (self.high - self.low) / (self.quant_max - self.quant_min)
        scale = torch.where(scale < torch.finfo(torch.float32).tiny, 1.0, scale)
        return scale, (self.quant_min - self.low / scale).round().clamp(self.quant_min, self.quant_max).int()

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Scale and zero point. Shape: two ()."""
        scale, zero = self._grid()
        return scale.cpu(), zero.cpu()
