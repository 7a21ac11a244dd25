"""What was measured on a model's file, and that it is this file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..markup import facts

if TYPE_CHECKING:
    from ..models import Model


def measured(model: Model) -> str:
    figures = model.row.measured
    if not figures:
        return "<p>Nothing was measured on test or val.</p>"
    n = figures.get("n")
    pairs = [
        ("measured file", f"{figures.get('file', '?')} ({figures.get('runtime', '?')})"),
        ("its hash", str(figures["hash"])),
        ("pictures", f"{figures['split']}, n = {n:,}" if isinstance(n, int) else figures["split"]),
        ("interval", str(figures.get("interval_method", "not given"))),
    ]
    return f"<h3>Measured</h3>{facts(pairs)}"
