"""How long networks take on this machine, each timed beside the network that they were cut from."""

from __future__ import annotations

import tempfile
from pathlib import Path

from torch import nn

from ..deploy.onnx import export_float
from ..deploy.runtime import OnnxModel
from ..measure.bench import latencies
from .runtimes import random_batch

ROUNDS = 100


class Clocked:
    """Times networks as `strop bench` does: exported, in ONNX Runtime, one thread, one picture, the median.

    Args:
        parent: the network before anything is removed; exported when the first time is asked for.
        shape: (C, H, W) of a picture.
    """

    def __init__(self, parent: nn.Module, shape: tuple[int, int, int]):
        self._parent, self._shape = parent, shape
        self._session: OnnxModel | None = None

    def whole(self) -> float:
        """Milliseconds of the parent."""
        return latencies(*self._with({}), rounds=ROUNDS)["parent"]["p50"]

    def __call__(self, net: nn.Module) -> dict:
        """What a network took, in turn with the parent: {"p50", "p95", "n", "parent_p50"} in milliseconds."""
        rows = latencies(*self._with({"net": self._open(net)}), rounds=ROUNDS)
        return {name: rows["net"][name] for name in ("p50", "p95", "n")} | {"parent_p50": rows["parent"]["p50"]}

    def _with(self, sessions: dict[str, OnnxModel]) -> tuple[dict, dict]:
        if self._session is None:
            self._session = self._open(self._parent)
        sessions = {"parent": self._session, **sessions}
        return sessions, {name: lambda count, s=session: random_batch(s, count) for name, session in sessions.items()}

    def _open(self, net: nn.Module) -> OnnxModel:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "network.onnx"
            export_float(net, self._shape, path)
            return OnnxModel(path, threads=1)
