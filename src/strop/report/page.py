"""One HTML file about rows: the verdict, the table, the charts, the evidence. No network is needed or allowed."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runs import read_metrics
from . import sections
from .notes import findings, judge
from .numbers import pareto

if TYPE_CHECKING:
    from .rows import Row

HERE = Path(__file__).parent


def write_page(rows: Sequence[Row], notes: Sequence[str], path: Path, *, title: str) -> None:
    """Write the report as one file that opens anywhere, offline, light or dark, on a phone or a desk.

    The page carries a Content-Security-Policy that forbids every connection and every script but its own;
    the figures are embedded as JSON exactly as they stand in result.json and metrics.jsonl.

    Example:
        >>> rows, notes = collect(["runs/student", "runs/small"])
        >>> write_page(rows, notes, Path("report.html"), title="student and small")
    """
    style, script = _read("page.css"), _read("page.js")
    library = re.sub(r"(?m)^//# sourceMappingURL=.*$", "", _read("vendor/chart.umd.js"))
    data = embedded(rows)
    verdict, failed = judge(rows), findings(rows)
    parts = {
        "policy": _policy([script, library], style),
        "title": escape(title),
        "style": style,
        "verdict": sections.verdict(verdict, failed),
        "table": sections.table(rows, verdict.pick),
        "notes": sections.notes([note for note in notes if note not in failed]),
        "fronts": sections.fronts(data["fronts"]),
        "details": sections.details(rows, data["rows"]),
        "lineage": sections.lineage(rows),
        "machine": sections.machine(rows),
        "commands": sections.commands(rows),
        "data": _safe_json(data),
        "library": library,
        "script": script,
    }
    # One pass, so that a placeholder inside a class name stays text.
    page = re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _read("page.html"))
    path.write_text(page, encoding="utf-8")


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _policy(scripts: Sequence[str], style: str) -> str:
    """Nothing may be loaded; only scripts and styles with these hashes may run."""

    def digest(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; script-src {' '.join(map(digest, scripts))}; style-src {digest(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _safe_json(value: Any) -> str:
    """JSON that can't end the script element it stands in, and that every JSON reader gives back unchanged."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def embedded(rows: Sequence[Row]) -> dict[str, Any]:
    """What the page's script draws, and what a reader can check: the figures of the JSON files, unchanged."""
    return {"rows": [_embed(row) for row in rows], "fronts": _fronts(rows)}


def _embed(row: Row) -> dict[str, Any]:
    return {
        "id": row.id,
        "verb": row.verb,
        "model": row.model,
        "trained": row.trained,
        "input_size": row.input_size,
        "parameters": row.parameters,
        "macs": row.macs,
        "file": row.file,
        "bytes": row.bytes,
        "hash": row.hash,
        "measured": row.measured,
        "latency": row.latency,
        "training": row.training,
        "best_epoch": (row.training or {}).get("best_epoch"),
        "metrics": read_metrics(row.metrics),
        "parents": {role: parent["id"] for role, parent in row.parents.items()},
    }


def _fronts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The two scatter charts: indices into rows, costs, and which points are on the front."""
    found = []
    for title, unit, cost in (
        ("size, MB", "MB", lambda row: row.bytes / 1e6),
        ("latency p50 at batch 1, ms", "ms", lambda row: row.p50),
    ):
        shown = [(i, cost(row)) for i, row in enumerate(rows) if row.accuracy is not None and cost(row)]
        if len(shown) > 1:
            found.append(
                {
                    "title": title,
                    "unit": unit,
                    "points": [{"row": i, "cost": c} for i, c in shown],
                    "front": pareto([(c, rows[i].accuracy) for i, c in shown]),
                }
            )
    return found
