"""What can run a model for `strop bench`: runtimes by name; each gives a callable that takes a batch and answers."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from ..errors import UserError
from ..runs import Run
from .fields import read_names

if TYPE_CHECKING:
    from ..models.classifier import Classifier

ON_FILES = {"onnxruntime": ("runtime", "OnnxModel"), "openvino": ("openvino", "OpenvinoModel")}
"""Runtimes of ONNX files: name, which is that of the package too, to module and class in `deploy`."""
NEEDS_TORCH = ("torch", "torch-compiled", "cuda")
RUNTIMES = (*ON_FILES, *NEEDS_TORCH)


def _field(*known: str, example: str) -> Any:
    """Runtimes with commas or as a list, at least one, each once."""

    def read(value: Any) -> tuple[str, ...]:
        return read_names(value or "", known=known, what="runtime", example=example)

    return Annotated[tuple[str, ...], BeforeValidator(read), PlainSerializer(",".join)]


RuntimesField = _field(*RUNTIMES, example="onnxruntime,torch")
FileRuntimesField = _field(*ON_FILES, example="onnxruntime,openvino")


def check_runtime(runtime: str, run: Run) -> None:
    """Refuse, before anything is timed, a model that the runtime can't run, and a runtime that is not here."""
    if runtime in NEEDS_TORCH and run.model_file.suffix == ".onnx":
        raise UserError(
            f"--runtime {runtime}", f"'{run.id}' is an ONNX file. Give the train or prune run that it was made from."
        )
    if runtime == "openvino":
        from ..deploy.openvino import check_openvino

        check_openvino()
    if runtime == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise UserError("--runtime cuda", "torch sees no GPU here. Leave it out.")


def is_installed(runtime: str) -> bool:
    """Of one of `ON_FILES`."""
    return find_spec(runtime) is not None


def open_runtime(runtime: str, run: Run, scratch: Path, threads: int) -> Any:
    """The model in a runtime: call it with a batch; `shape` (C, H, W) and `dtype` say of what.

    Args:
        scratch: an empty folder, for the ONNX file of a float run.
    """
    if runtime in ON_FILES:
        return open_file(runtime, onnx_file(run, scratch), threads)
    from .. import artifact

    return _InTorch(artifact.load(run), runtime, threads)


def onnx_file(run: Run, scratch: Path) -> Path:
    """The ONNX file of what the run holds; a float model is exported into `scratch`."""
    path = run.model_file
    if path.suffix == ".onnx":
        return path
    exported = scratch / f"{run.model_hash().removeprefix('sha256:')}.onnx"
    if not exported.exists():
        from .. import artifact
        from ..deploy.onnx import export_float

        model = artifact.load(run)
        export_float(model.net, model.preprocess.shape, exported)
    return exported


def open_file(runtime: str, file: Path | bytes, threads: int) -> Any:
    """An ONNX file, or the bytes of one, in one of `ON_FILES`."""
    module, name = ON_FILES[runtime]
    return getattr(import_module(f"..deploy.{module}", __package__), name)(file, threads=threads)


def open_session(run: Run, scratch: Path, threads: int) -> Any:
    """An ONNX session of what the run holds."""
    return open_file("onnxruntime", onnx_file(run, scratch), threads)


class _InTorch:
    """A float network as torch runs it, on normalised floats as the ONNX file gets them, on the CPU or a GPU.

    On a GPU a call copies the batch there and the answer back: that is what a caller waits for.
    """

    def __init__(self, model: Classifier, runtime: str, threads: int):
        import numpy as np
        import torch

        torch.set_num_threads(threads)
        self.shape, self.dtype = model.preprocess.shape, np.float32
        self._device = "cuda" if runtime == "cuda" else "cpu"
        self._net = model.net.eval().to(self._device)
        if runtime == "torch-compiled":
            self._net = torch.compile(self._net)

    def __call__(self, images: Any) -> Any:
        import torch

        with torch.inference_mode():
            return self._net(torch.from_numpy(images).to(self._device)).cpu()


def random_batch(session: Any, count: int) -> Any:
    """Pixels (or normalised floats) of no meaning; the time does not depend on them."""
    import numpy as np

    generator, (channels, size, _) = np.random.default_rng(0), session.shape
    if session.dtype == np.uint8:  # squares of the network's size, which the graph does not scale
        return generator.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return generator.standard_normal((count, channels, size, size), dtype=np.float32)
