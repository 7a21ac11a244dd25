"""What other counters say, for comparing with published figures; each of them leaves something out."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn

from ..errors import UserError
from .recording import Call, Recording, record

THOP = "thop 0.1.1: conv and linear MACs, 4 per normalised element, pooling; no attention products"
_NORMS = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.SyncBatchNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
)  # fmt: skip
_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_ADAPTIVE_POOLS = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
MIB, MB, FLOAT = 2**20, 1e6, 4


def thop_macs(model: nn.Module, recording: Recording) -> dict[str, int]:
    """thop's count for each module that it has a rule for; their sum is the figure that write-ups print.

    convolution: outputs * c_in / groups * kernel; linear: outputs * inputs; normalisation: 4 an element, 2 without
    weights; average pooling: 1 an output; adaptive: (window + 1) an output; softmax: 3 n - 1 a row; else 0.

    Source: thop 0.1.1.post2209072238, thop/vision/basic_hooks.py. As there, only these very classes count, not those
    derived from them, so the projections of nn.MultiheadAttention are missing. Unlike thop: no rule for transposed
    convolutions, upsampling and recurrent cells, which classifiers don't have; an adaptive pooling that does not
    divide evenly is rounded down once, at the end.
    """
    modules = dict(model.named_modules())
    found: dict[str, int] = {}
    for call in recording.calls:
        count = _thop_rule(modules[call.module], call)
        if count:
            found[call.module] = found.get(call.module, 0) + count
    return found


def _thop_rule(module: nn.Module, call: Call) -> int:
    kind, before, after = type(module), math.prod(call.input_shape), math.prod(call.output_shape)
    if kind in _CONVS:
        return after * (call.input_shape[1] // module.groups) * math.prod(module.kernel_size)
    if kind is nn.Linear:
        return after * module.in_features
    if kind in _NORMS:
        has_weights = getattr(module, "affine", False) or getattr(module, "elementwise_affine", False)
        return before * (4 if has_weights else 2)
    if kind in _POOLS:
        return after
    if kind in _ADAPTIVE_POOLS:
        return int((math.prod(call.input_shape[2:]) / math.prod(call.output_shape[2:]) + 1) * after)
    if kind is nn.PReLU:
        return before
    if kind is nn.Softmax:
        return before // call.input_shape[module.dim] * (3 * call.input_shape[module.dim] - 1)
    return 0


def total_size(
    convention: str, model: nn.Module, recording: Recording, input_size: tuple[int, int, int], batch: int
) -> dict:
    """The "Total Size" of torchsummary or torchinfo, by their formulas.

    torchsummary, MiB: 4 * (batch * C * H * W + 2 * batch * outputs of every module but the root and sequences
    + parameters); so a block's output counts beside those of its layers.
    torchinfo, MB: 4 * (batch * C * H * W + 2 * batch * outputs of leaves with parameters + their parameters); so
    parameters of modules that have children, such as nn.MultiheadAttention, are missing.

    Args:
        convention: "torchsummary" or "torchinfo".
    Raises:
        UserError: torchsummary, and a network that it fails on.
    """
    rule: Callable = {"torchsummary": _torchsummary, "torchinfo": _torchinfo}[convention]
    outputs, parameters, unit = rule(model, recording)
    parts = {
        "input": FLOAT * batch * math.prod(input_size) / unit,
        "forward_backward": 2 * FLOAT * batch * outputs / unit,
        "parameters": FLOAT * parameters / unit,
    }
    rounded = {name: round(value, 4) for name, value in parts.items()}
    about = {"convention": convention, "unit": "MiB" if unit == MIB else "MB", "batch_size": batch}
    return about | rounded | {"total": round(sum(parts.values()), 4)}


def footprint(model: nn.Module, input_size: tuple[int, int, int]) -> dict:
    """The parts of torchsummary's total for one picture, in bytes; the total of B pictures is
    B * (input + forward_backward) + parameters.

    Unlike torchsummary: also for networks that it fails on, so that all rows of a table have one convention.
    """
    outputs, parameters = _outputs_of_all(model, record(model, input_size))
    return {
        "convention": "torchsummary",
        "input_bytes": FLOAT * math.prod(input_size),
        "forward_backward_bytes": 2 * FLOAT * outputs,
        "parameter_bytes": FLOAT * parameters,
    }


def _torchsummary(model: nn.Module, recording: Recording) -> tuple[int, int, float]:
    if any(isinstance(module, nn.MultiheadAttention) for module in model.modules()):
        raise UserError("--convention torchsummary", "torchsummary fails on nn.MultiheadAttention. Write torchinfo.")
    return *_outputs_of_all(model, recording), MIB


def _outputs_of_all(model: nn.Module, recording: Recording) -> tuple[int, int]:
    modules = dict(model.named_modules())
    hooked = [c for c in recording.calls if c.module and not isinstance(modules[c.module], nn.Sequential)]
    return sum(map(_outputs, hooked)), sum(p.numel() for p in model.parameters())


def _torchinfo(model: nn.Module, recording: Recording) -> tuple[int, int, float]:
    modules = dict(model.named_modules())
    leaves = {
        name: sum(p.numel() for p in module.parameters())
        for name, module in modules.items()
        if not any(module.children()) and any(True for _ in module.parameters())
    }
    called = [call for call in recording.calls if call.module in leaves]
    return sum(map(_outputs, called)), sum(leaves[name] for name in {call.module for call in called}), MB


def _outputs(call: Call) -> int:
    return math.prod(call.output_shape[1:])
