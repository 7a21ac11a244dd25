"""How big a model is and how much it computes, without running it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

MACS_CONVENTION = "conv, linear and attention multiply-accumulates, no bias"


def complexity(model: nn.Module, input_size: tuple[int, int, int]) -> dict:
    """Count the parameters and the multiply-accumulates (MACs) of one forward pass for one picture.

    macs = sum over convolutions, linear layers and attention products of their multiply-accumulates;
    biases, normalisation, activations, pooling and additions count 0. The model itself is left as it is:
    shapes are followed through a copy without storage, in eval mode.

    Unlike thop: attention is counted, normalisation and pooling are not (ResNet-18 at 64x64: 0.14805 G, not 0.14887 G).

    Args:
        model: any classifier that takes one tensor of pictures.
        input_size: channels, height and width of one picture.
    Raises:
        RuntimeError: the model's own error where it refuses such a picture.

    Example:
        >>> complexity(nn.Conv2d(3, 8, 3, padding=1), (3, 32, 32))["macs"]
        221184
    """
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "macs": count_macs(model, input_size),
        "macs_convention": MACS_CONVENTION,
    }


def count_macs(model: nn.Module, input_size: tuple[int, int, int]) -> int:
    """The multiply-accumulates of `model` for one picture of `input_size` (C, H, W)."""
    return followed(model, lambda double, device: _count(double, torch.zeros(1, *input_size, device=device)))


def followed(model: nn.Module, run: Callable[[nn.Module, str], Any]) -> Any:
    """What `run(copy of the model in eval mode, device)` gives: on "meta", without storage, or else on the CPU.

    A model whose path depends on values, or that has an operator without a shape rule, has to compute.
    """
    try:
        return run(copy.deepcopy(model).to("meta").eval(), "meta")
    except (NotImplementedError, RuntimeError):
        if any(parameter.is_meta for parameter in model.parameters()):
            raise
        return run(copy.deepcopy(model).cpu().float().eval(), "cpu")


def _count(model: nn.Module, pictures: torch.Tensor) -> int:
    # With gradients wanted, attention can't take its fused inference path, which hides from the counter.
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    with torch.enable_grad(), FlopCounterMode(display=False) as counter:
        model(pictures)
    return counter.get_total_flops() // 2
