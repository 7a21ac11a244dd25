"""What torch.export writes."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from ..settings import write_about
from . import Source, forms

KEPT = ("val", "tensor_meta")  # of a node's notes; the others say where it came from, with paths of this machine


@forms.add("pt2")
class Pt2:
    """The archive of torch.export, for programs that have torch: pictures of any size and number.

    Shape:
        images: (B, H, W, 3) uint8 RGB, upright. Returns: (B, K) float32.
    """

    files: ClassVar[tuple[str, ...]] = ("model.pt2",)
    package: ClassVar[str] = "torch"
    from_torch: ClassVar[bool] = True
    any_size: ClassVar[bool] = True
    danger: ClassVar[str] = "loading a .pt2 can run any code"
    runs_if_trusted: ClassVar[bool] = False
    about: ClassVar[str] = (
        "For programs that have torch. Load it only where you trust who gave it to you: loading a `.pt2` can run any "
        "code, and `strop verify` never does."
    )
    program: ClassVar[str] = """
import numpy, torch
from PIL import Image, ImageOps

network = torch.export.load("model.pt2").module()
image = ImageOps.exif_transpose(Image.open("picture.jpg")).convert("RGB")
with torch.inference_mode():
    probabilities = network(torch.from_numpy(numpy.array(image))[None])[0]
"""

    @staticmethod
    def write(source: Source) -> dict[str, bytes]:
        """The archive. Settings and class names are in its extra file "strop".

        Without example inputs, which torch would pickle.
        """
        import torch

        from ..pixels import FromPixels

        net, _, settings, classes = source
        size = settings.input_size
        example = torch.zeros(2, size + 9, size + 15, 3, dtype=torch.uint8)  # equal sides would be tied
        sides = {place: torch.export.Dim(name) for place, name in enumerate(("batch", "height", "width"))}
        program = torch.export.export(FromPixels(net.cpu(), settings), (example,), dynamic_shapes=(sides,))
        for module in program.graph_module.modules():
            for node in getattr(getattr(module, "graph", None), "nodes", ()):
                node.meta = {name: value for name, value in node.meta.items() if name in KEPT}
        program._example_inputs = None
        archive = io.BytesIO()
        torch.export.save(program, archive, extra_files=write_about(settings, classes))
        return {Pt2.files[0]: archive.getvalue()}

    @staticmethod
    def open(files: dict[str, bytes]) -> Callable[[np.ndarray], np.ndarray]:
        """The network in torch, on the CPU. For what this process has just written only, because torch unpickles."""
        import torch

        network = torch.export.load(io.BytesIO(files[Pt2.files[0]])).module()

        def classify(images: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return network(torch.from_numpy(np.ascontiguousarray(images))).numpy()

        return classify
