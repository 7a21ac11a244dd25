"""What the bits of a training depend on beside its config: a checkpoint carries it, so that resuming can tell."""

from __future__ import annotations

import os
from importlib import metadata

import torch

FLAGS = ("avx2", "avx512_f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16")  # each chooses other kernels
PACKAGES = ("torch", "numpy", "opencv-python-headless", "simplejpeg", "pillow")  # arithmetic, and the pixels


def environment(*, device: str, precision: str, compiled: bool = False, processes: int = 1) -> dict[str, str | int]:
    """Everything known to change the last bits (docs/log.md), as JSON values.

    Args:
        device: "cpu" or "cuda:N"; a GPU is named by its model.
        compiled: by torch.compile.
        processes: that train together.
    """
    cuda = device.startswith("cuda")
    return {
        **{package: _version(package) for package in PACKAGES},
        "threads": torch.get_num_threads(),
        "processor": _processor(),
        "device": torch.cuda.get_device_name(device) if cuda else device,
        "precision": precision,
        "compile": "yes" if compiled else "no",
        "processes": processes,
    }


def differences(before: dict, now: dict) -> list[str]:
    """What changed, in words: ["threads 1 -> 2"]."""
    return [
        f"{name} {before.get(name, 'unknown')} -> {value}" for name, value in now.items() if before.get(name) != value
    ]


def _processor() -> str:
    """The instruction set that torch uses, and the flags that its libraries look at."""
    found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA")
    words = [torch.backends.cpu.get_cpu_capability(), *(flag for flag in FLAGS if found.get(flag))]
    return " ".join(words + ([f"at most {limit}"] if limit else []))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
