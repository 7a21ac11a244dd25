"""Where an ONNX file spends its time: ONNX Runtime's own profile, by node."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

SUFFIX = "_kernel_time"


def nodes(events: Iterable[Mapping[str, Any]], calls: int, top: int) -> list[dict[str, Any]]:
    """The nodes that took most of the time, for one call of the model.

    ms = median over the node's events * events / calls; share = ms / sum of all ms. What the runtime does between
    nodes is in neither.

    Args:
        events: of the runtime's JSON file; those of nodes have the category "Node" and microseconds in `dur`.
        calls: how often the model ran while it was profiled.
        top: how many nodes to give.
    Returns:
        {"layer", "operator", "ms", "share", "calls"} each, the slowest first.
    """
    spent: dict[tuple[str, str], list[float]] = {}
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") == "Node" and name.endswith(SUFFIX):
            key = name.removesuffix(SUFFIX), str((event.get("args") or {}).get("op_name", "?"))
            spent.setdefault(key, []).append(float(event.get("dur", 0)))
    found = {key: statistics.median(micros) * len(micros) / calls / 1e3 for key, micros in spent.items()}
    whole = sum(found.values())
    return [
        {
            "layer": layer,
            "operator": operator,
            "ms": round(ms, 5),
            "share": round(ms / whole, 4) if whole else 0.0,
            "calls": calls,
        }
        for (layer, operator), ms in sorted(found.items(), key=lambda item: -item[1])[:top]
    ]
