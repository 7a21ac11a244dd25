"""In which numbers to train: fixed rules, resolved once into the config."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
import torch.nn as nn

from ..errors import UserError


def resolve_device(name: str) -> str:
    """`auto` is the first GPU where there is one, else the CPU. Raises UserError for a GPU that is not there."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda" if count else "cpu"
    if name.startswith("cuda") and int(name.partition(":")[2] or 0) >= count:
        raise UserError(f"--device {name}", f"torch finds {count or 'no'} GPU here. Write --device cpu, or auto.")
    return name


def resolve_precision(wanted: str, model: nn.Module, device: str) -> str:
    """`auto` is bf16 where the processor multiplies it in hardware and the model is not depthwise; fp16 on older GPUs.

    Depthwise networks were measured slower in bf16 than in float32 on CPUs (docs/log.md).
    """
    if wanted != "auto":
        return wanted
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    depthwise = any(isinstance(m, nn.Conv2d) and m.groups == m.in_channels > 1 for m in model.modules())
    return "bf16" if _cpu_has_bf16() and not depthwise else "fp32"


def _cpu_has_bf16() -> bool:
    abilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(abilities.get("amx_bf16") or abilities.get("avx512_bf16")) or torch.cpu._is_avx512_bf16_supported()


def make_autocast(precision: str, device: str) -> Callable[[], AbstractContextManager]:
    """The context of a forward pass in `precision` ("bf16", "fp16" or "fp32")."""
    if precision == "fp32":
        return nullcontext
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return partial(torch.autocast, torch.device(device).type, dtype=dtype)
