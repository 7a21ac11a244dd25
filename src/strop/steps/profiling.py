"""The profile of an ONNX file, by the runtime itself."""

from __future__ import annotations

import json
from pathlib import Path

CALLS, WARMUP = 50, 5


def profile(file: Path, threads: int, top: int, scratch: Path) -> list[dict]:
    """The `top` slowest nodes at batch 1, see `measure.profile.nodes`; in a session of its own, as it slows."""
    from ..deploy.runtime import OnnxModel
    from ..measure.profile import nodes
    from .runtimes import random_batch

    model = OnnxModel(file, threads=threads, profile=scratch / "profile")
    batch = random_batch(model, 1)
    for _ in range(WARMUP + CALLS):
        model(batch)
    path = model.end_profile()
    events = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    return nodes(_behind_warmup(events), CALLS, top)


def _behind_warmup(events: list[dict]) -> list[dict]:
    """Without the first calls: an event of the category Session closes each."""
    ends = [e["ts"] + e["dur"] for e in events if e.get("cat") == "Session" and e.get("name") == "model_run"]
    begin = ends[WARMUP - 1] if len(ends) > WARMUP else 0
    return [event for event in events if event.get("ts", 0) >= begin]
