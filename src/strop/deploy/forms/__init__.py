"""Other forms of an export beside model.onnx. One form a file: a class that writes it and opens what it wrote.

`write(source)` gives the bytes of each of its `files`, and `open` takes them and gives a callable, images (B, H, W, 3)
uint8 to probabilities (B, K) float32. Beside `files` a form says

    package          what runs it
    from_torch       whether it is made from the network in torch, which a quantized run has not
    any_size         whether it cuts and scales pictures itself, as model.onnx does; else it takes squares of one size
    danger           why `strop verify` does not open one that anyone may have written
    runs_if_trusted  whether it does when told that the folder is trusted
    about, program   what the model card says of it; {size} is the side of the square

None imports torch or its package before it writes or opens.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...registry import Registry

if TYPE_CHECKING:
    import torch

    from ..settings import Settings

forms = Registry("form", __name__, __path__)


class Source(NamedTuple):
    """What a form is made from.

    Attributes:
        net: takes normalised floats and gives logits; None for a quantized run.
        file: the exported model.onnx.
    """

    net: torch.nn.Module | None
    file: Path
    settings: Settings
    classes: list[str]
