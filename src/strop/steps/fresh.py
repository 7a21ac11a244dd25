"""What a process that has just begun waits for until its first answer, and the memory it takes.

`python -m strop.steps.fresh onnxruntime FILE THREADS` (or `torch RUN THREADS`) measures itself and prints one JSON
object; `cold_starts` starts such processes.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from ..errors import RunFailed

PATIENCE = 120.0
"""Seconds after which a process that gives no answer is given up."""


def cold_starts(commands: Mapping[str, tuple[str, ...]], times: int) -> dict[str, dict]:
    """For each name its cold start and memory, by fresh processes in turn: A B A B ...

    Files are in the system's cache from the second start on, so this is a cold process, not a cold disk.

    Args:
        commands: name to (runtime, path, threads).
        times: processes for each; medians are given, of the memory the most.
    Returns:
        {"cold_start": {"ms", "runtime_ms", "load_ms", "first_ms", "n"}, "peak_memory_bytes"} each; `ms` is the whole
        time from starting the process to its answer, the interpreter's own start included.
    """
    found: dict[str, list[dict]] = {name: [] for name in commands}
    for _ in range(times):
        for name, words in commands.items():
            found[name].append(_start(words))
    described = {}
    for name, starts in found.items():
        keys = ("ms", "runtime_ms", "load_ms", "first_ms")
        medians = {key: round(statistics.median(start[key] for start in starts), 2) for key in keys}
        memory = max(start["peak_memory_bytes"] for start in starts)
        described[name] = {"cold_start": medians | {"n": times}, "peak_memory_bytes": memory}
    return described


def _start(words: tuple[str, ...]) -> dict:
    source = str(Path(__file__).parents[2])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    start = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, *words],
            capture_output=True,
            text=True,
            env=environment,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise RunFailed(
            f"{words[1]}: a fresh process gave no answer in {PATIENCE:g} s. Write --cold-starts 0."
        ) from None
    took = time.perf_counter() - start
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise RunFailed(f"{words[1]}: a fresh process that loads it ended with an error ({last[:200]}).")
    return json.loads(done.stdout.splitlines()[-1]) | {"ms": 1e3 * took}


def main(runtime: str, path: str, threads: str) -> None:
    """Load and answer once, in this process; prints the times of the parts in ms and the memory."""
    from importlib import import_module

    from ..runs import Run
    from .runtimes import ON_FILES, open_file, open_runtime, random_batch

    begun = time.perf_counter()
    import_module(runtime if runtime in ON_FILES else "torch")
    imported = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        if runtime in ON_FILES:
            model = open_file(runtime, Path(path), int(threads))
        else:
            model = open_runtime(runtime, Run(Path(path)), Path(scratch), int(threads))
    loaded, batch = time.perf_counter(), random_batch(model, 1)
    ready = time.perf_counter()
    model(batch)
    answered = time.perf_counter()
    found = {
        "runtime_ms": 1e3 * (imported - begun),
        "load_ms": 1e3 * (loaded - imported),
        "first_ms": 1e3 * (answered - ready),
        "peak_memory_bytes": peak_resident(),
    }
    print(json.dumps(found))


def peak_resident() -> int:
    """Most bytes that this process had in memory.

    Linux's VmHWM begins anew with the program; ru_maxrss would keep that of the process that started this one.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


if __name__ == "__main__":
    main(*sys.argv[1:])
