"""What ExecuTorch runs, on phones and boards."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import numpy as np

from . import Source, forms


@forms.add("executorch")
class ExecuTorch:
    """A program of ExecuTorch with XNNPACK in float32, for phones and boards: one square at a time.

    Its memory is planned when it is written, for one shape; for pictures of any size it would be that of the largest.

    Shape:
        images: (B, S, S, 3) uint8 RGB, cut and scaled by the caller. Returns: (B, K) float32.
    """

    files: ClassVar[tuple[str, ...]] = ("model.pte",)
    package: ClassVar[str] = "executorch"
    from_torch: ClassVar[bool] = True
    any_size: ClassVar[bool] = False
    danger: ClassVar[str] = "a forged .pte can harm the process that loads it"
    runs_if_trusted: ClassVar[bool] = True
    about: ClassVar[str] = (
        "For phones and boards, XNNPACK, float32. It takes one square: the caller cuts the centre and scales it, as "
        "OpenCV does here; other ways move pictures between classes. Load it only where you trust who gave it to you: "
        "ExecuTorch does not check all that a file says."
    )
    program: ClassVar[str] = """
import cv2, numpy, torch
from executorch.runtime import Runtime
from PIL import Image, ImageOps

program = Runtime.get().load_program("model.pte")  # has to be kept
network = program.load_method("forward")
image = numpy.array(ImageOps.exif_transpose(Image.open("picture.jpg")).convert("RGB"))
side = min(image.shape[:2])
top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
scaling = cv2.INTER_AREA if side > {size} else cv2.INTER_LINEAR
square = cv2.resize(image[top : top + side, left : left + side], ({size}, {size}), interpolation=scaling)
probabilities = network.execute([torch.from_numpy(square)[None]])[0][0]
"""

    @staticmethod
    def write(source: Source) -> dict[str, bytes]:
        """The program, method "forward". A .pte has no place for the class names."""
        import torch

        from ..pixels import FromPixels

        with _quiet():
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower

            size = source.settings.input_size
            network = FromPixels(source.net.cpu(), source.settings, scales=False)
            program = torch.export.export(network, (torch.zeros(1, size, size, 3, dtype=torch.uint8),))
            lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
            return {ExecuTorch.files[0]: bytes(lowered.to_executorch().buffer)}

    @staticmethod
    def open(files: dict[str, bytes]) -> Callable[[np.ndarray], np.ndarray]:
        """The program in ExecuTorch's own runtime, a picture at a time."""
        import torch

        with _quiet():
            from executorch.runtime import Runtime

            program = Runtime.get().load_program(files[ExecuTorch.files[0]])
            program.load_method("forward")

        def classify(images: np.ndarray) -> np.ndarray:
            forward = program.load_method("forward")  # kept by the program, which keeps the bytes that it reads
            return np.concatenate([forward.execute([torch.from_numpy(one[None].copy())])[0] for one in images])

        return classify


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what ExecuTorch's libraries write to descriptor 2 off the screen; it comes back where they fail."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.dup2(said.fileno(), 2)
        try:
            yield
        except BaseException:
            said.seek(0)
            os.write(kept, said.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
