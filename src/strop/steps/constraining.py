"""Weights before and after a constrained training: histograms in the run folder, and what they were in weights.json."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch

from ..launch import here
from ..measure.weights import describe_weights
from ..report.weight_charts import histograms
from ..runs import Run, read_json, write_json


def describe_before(net: torch.nn.Module, options: Any) -> list[dict] | None:
    """The weights that training starts from; a resumed training starts from the same. None without a constraint."""
    return describe_weights(net) if options.constrain else None


def draw_change(run: Run, before: list[dict] | None, net: torch.nn.Module) -> None:
    """Draw histograms.png, what training started from and what is kept laid over it; adds the first to weights.json."""
    if before is None or here().rank:
        return
    path = run.folder / "weights.json"
    write_json(path, read_json(path) | {"before": before})
    deque(histograms({"before": before, "after": describe_weights(net)}, run.folder), maxlen=0)
