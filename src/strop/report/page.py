"""One HTML file about rows: the verdict, the table, the charts, the evidence. No network is needed or allowed."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import fronts as pareto
from .models import Model, read_models
from .notes import findings
from .room import Inside, furnish, without
from .sections.commands import commands
from .sections.confusion import PICTURE
from .sections.data import data
from .sections.details import PARTS, details
from .sections.fronts import fronts
from .sections.lineage import lineage
from .sections.looks import looks
from .sections.machine import machine
from .sections.table import notes as note_list
from .sections.table import table
from .sections.verdict import verdict
from .verdict import judge

if TYPE_CHECKING:
    from .rows import Row

HERE = Path(__file__).parent
STYLES = ("page.css", "parts.css", "print.css")
SCRIPTS = ("start.js", "fronts.js", "curves.js", "matrix.js", "reliability.js", "keys.js", "draw.js")


def write_page(rows: Sequence[Row], notes: Sequence[str], path: Path, *, title: str) -> None:
    """Write the report as one file that opens anywhere, offline, light or dark, on a phone or a desk.

    The page carries a Content-Security-Policy that forbids every connection and every script but its own;
    the figures are embedded as JSON exactly as they stand in result.json and metrics.jsonl.

    Example:
        >>> rows, notes = collect(["runs/student", "runs/small"])
        >>> write_page(rows, notes, Path("report.html"), title="student and small")
    """
    style = "".join(_read(f"assets/{name}") for name in STYLES)
    script = f'"use strict";\n(() => {{\n{"".join(_read(f"assets/{name}") for name in SCRIPTS)}}})();\n'
    library = re.sub(r"(?m)^//# sourceMappingURL=.*$", "", _read("vendor/chart.umd.js"))
    models = read_models(rows)
    judged, failed = judge(rows), findings(rows)
    insides = furnish(models, [_embed(model) for model in models], PARTS, judged.pick)
    figures = embedded(models, insides)
    whole = not any(inside.undrawn for inside in insides)
    parts = {
        "policy": _policy([script, library], style),
        "title": escape(title),
        "style": style,
        "verdict": verdict(judged, failed),
        "table": table(rows, judged.pick),
        "notes": note_list([note for note in notes if note not in failed]),
        "fronts": fronts(figures["fronts"], [row.id for row in rows]),
        "details": details(models, insides, judged.pick),
        "lineage": lineage(rows),
        "data": data(models),
        "looks": looks(rows),
        "machine": machine(rows),
        "commands": commands(rows),
        "figures": "Every figure is" if whole else "The figures of all parts that are shown are",
        "json": _safe_json(figures),
        "library": library,
        "script": script,
    }
    parts["weight"] = _weight(_fill(parts), library)
    path.write_text(_fill(parts), encoding="utf-8")


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _fill(parts: Mapping[str, str]) -> str:
    """The page's places filled in one pass, so that a placeholder inside a class name stays text."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts.get(found[1], ""), _read("assets/page.html"))


def _weight(page: str, library: str) -> str:
    """'0.31 MB, 0.21 of it the charting library'"""
    return f"{len(page.encode()) / 1e6:.2f} MB, {len(library) / 1e6:.2f} of it the charting library"


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


def embedded(models: Sequence[Model], insides: Sequence[Inside]) -> dict[str, Any]:
    """What the page's script draws, and what a reader can check: the figures of the JSON files, unchanged."""
    rows = [without(_embed(model), inside.undrawn) for model, inside in zip(models, insides, strict=True)]
    return {"rows": rows, "fronts": _fronts([model.row for model in models])}


def _embed(model: Model) -> dict[str, Any]:
    row = model.row
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
        "measured": _without_millions(row.measured),
        "latency": row.latency,
        "training": row.training,
        "best_epoch": (row.training or {}).get("best_epoch"),
        "metrics": model.metrics,
        "parents": {role: parent["id"] for role, parent in row.parents.items()},
    }


def _without_millions(measured: dict[str, Any] | None) -> dict[str, Any] | None:
    """The counts of thousands of classes would make a page of many MB; it says that they are in result.json."""
    if measured is None or len(measured.get("classes") or ()) <= PICTURE:
        return measured
    return {key: value for key, value in measured.items() if key != "confusion"}


def _fronts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The scatter charts: indices into rows, costs, and which points are on the front."""
    return [
        {
            "title": found.cost.title,
            "unit": found.cost.unit,
            "points": [{"row": i, "cost": price} for i, price in found.points],
            "front": found.front,
        }
        for found in pareto.fronts(rows)
    ]
