"""The machine as far as it decides how fast a model is."""

from __future__ import annotations

import os
from pathlib import Path

from ..runs import machine, versions

FLAGS = [
    "sse4_2",
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
]
"""Each of them chooses other kernels in the runtimes."""


def describe_machine(threads: int, cpuinfo: Path = Path("/proc/cpuinfo")) -> dict:
    """Processor, its flags, cores, threads of the runtime, load when it was asked, and versions."""
    found = machine("cpu")
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {
        "processor": found["processor"],
        "flags": processor_flags(cpuinfo),
        "cores": found["cores"],
        "threads": threads,
        "load": load,
        "system": found["system"],
        "versions": versions(),
    }


def processor_flags(cpuinfo: Path) -> list[str]:
    """Those of `FLAGS` that the processor has; none where the system does not say."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return []
    words = next((line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), [])
    return [flag for flag in FLAGS if flag in words]
