"""Pictures with labels: sources, splits, decoding, loading.

data = open_data("fashion-mini")                                   # torch-free
train = pictures(data, "train", size=28, channels=1)               # from here on with torch
for images, targets, indices in Loader(train, batch_size=64, seed=0).epoch(0): ...
"""

from __future__ import annotations

import importlib

_PUBLIC = {
    "Source": "source",
    "Split": "source",
    "open_source": "source",
    "Data": "dataset",
    "open_data": "dataset",
    "open_again": "dataset",
    "parse_fraction": "dataset",
    "choose_validation": "split",
    "fit_square": "geometry",
    "read_pixels": "picture",
    "Pictures": "load",
    "Loader": "load",
    "Batch": "load",
    "pictures": "load",
}
__all__ = [*_PUBLIC]


def __getattr__(name: str):
    """Resolve names on first use: only the loading needs torch."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'strop.data' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
