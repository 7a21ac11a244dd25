"""What OpenVINO reads without converting it first."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np

from ..settings import METADATA, write_about
from . import Source, forms


@forms.add("openvino")
class OpenVino:
    """OpenVINO's own graph and weights, made from model.onnx, quantized ones too: pictures of any size and number.

    Shape:
        images: (B, H, W, 3) uint8 RGB, upright. Returns: (B, K) float32.
    """

    files: ClassVar[tuple[str, ...]] = ("model.xml", "model.bin")
    package: ClassVar[str] = "openvino"
    from_torch: ClassVar[bool] = False
    any_size: ClassVar[bool] = True
    danger: ClassVar[str] = "what a forged graph does to OpenVINO is not known"
    runs_if_trusted: ClassVar[bool] = True
    about: ClassVar[str] = (
        "For OpenVINO, measured in float32. Without that hint some processors compute in bfloat16, which moves "
        "pictures between classes, and refuse quantized networks."
    )
    program: ClassVar[str] = """
import numpy, openvino
from PIL import Image, ImageOps

network = openvino.compile_model("model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
image = ImageOps.exif_transpose(Image.open("picture.jpg")).convert("RGB")
probabilities = network(numpy.asarray(image)[None])[0][0]
"""

    @staticmethod
    def write(source: Source) -> dict[str, bytes]:
        """Both files in float32; settings and class names are in the graph's `rt_info`, "strop"."""
        import openvino

        model = openvino.Core().read_model(source.file.read_bytes())
        model.set_rt_info(write_about(source.settings, source.classes)[METADATA], [METADATA])
        with tempfile.TemporaryDirectory() as scratch:
            graph, weights = (Path(scratch) / name for name in OpenVino.files)
            openvino.save_model(model, graph, compress_to_fp16=False)
            return dict(zip(OpenVino.files, (graph.read_bytes(), weights.read_bytes()), strict=True))

    @staticmethod
    def open(files: dict[str, bytes]) -> Callable[[np.ndarray], np.ndarray]:
        """Compiled once, for pictures of every size."""
        import openvino

        graph, weights = (files[name] for name in OpenVino.files)
        core = openvino.Core()
        model = core.read_model(graph, openvino.Tensor(np.frombuffer(weights, np.uint8)))
        network = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return lambda images: network(images)[0]
