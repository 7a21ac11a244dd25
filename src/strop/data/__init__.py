"""Pictures with labels: sources, splits, decoding, loading.

data = open_data("fashion-mini")                                   # torch-free
train = pictures(data, "train", size=28, channels=1)               # from here on with torch
for images, targets, indices in Loader(train, batch_size=64, seed=0).epoch(0): ...
"""

from __future__ import annotations

from ..lazy import resolve_lazily

_PUBLIC = {
    "Source": "source",
    "Split": "source",
    "open_source": "source",
    "Data": "dataset",
    "open_data": "dataset",
    "open_again": "dataset",
    "parse_fraction": "dataset",
    "read_exclusions": "exclusions",
    "choose_validation": "split",
    "fit_square": "geometry",
    "read_pixels": "picture",
    "Pictures": "load",
    "Loader": "load",
    "Batch": "load",
    "pictures": "load",
}
__all__ = [*_PUBLIC]

# Only the loading needs torch.
__getattr__ = resolve_lazily(__name__, _PUBLIC)


def __dir__() -> list[str]:
    return sorted(__all__)
