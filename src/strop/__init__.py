"""strop: from a folder of images to a small, fast, deployable classifier, with evidence for every number."""

from __future__ import annotations

from .lazy import resolve_lazily

__version__ = "0.1.0"

_PUBLIC = {
    "Train": "steps.train",
    "Prune": "steps.prune",
    "Quantize": "steps.quantize",
    "Export": "steps.export",
    "Evaluate": "steps.evaluate",
    "Bench": "steps.bench",
    "Predict": "steps.predict",
    "Recipe": "recipe",
    "Run": "runs",
    "compare": "report",
    "load": "artifact",
    "fit": "train.fit",
    "UserError": "errors",
}
__all__ = ["__version__", *_PUBLIC]

__getattr__ = resolve_lazily(__name__, _PUBLIC)


def __dir__() -> list[str]:
    return sorted(__all__)
