"""strop: from a folder of images to a small, fast, deployable classifier, with evidence for every number."""

from __future__ import annotations

import importlib

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


def __getattr__(name: str):
    """Resolve public names on first use, so that `import strop` stays cheap."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'strop' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
