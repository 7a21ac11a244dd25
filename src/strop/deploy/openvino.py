"""Run an ONNX file in OpenVINO, on the CPU. No torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import UserError
from .settings import About, read_about

KEPT = 2  # compiled networks, each for one shape of batches
EVERY = ()  # stands for all shapes


class OpenvinoModel:
    """The same file as `OnnxModel` takes, in OpenVINO; what is float in it is computed in float32.

    It is compiled for each shape of batches when that first comes, which takes seconds; the last two are kept. Pictures
    that an exported file has to scale come in many sizes: for them it is compiled once, for every shape.

    Args:
        file: an exported file or a bare network, as of `OnnxModel`.
        threads: 1 for latencies that can be compared, 0 for all cores.
    Raises:
        UserError: OpenVINO is not installed or can't read the file.
    """

    def __init__(self, file: Path | bytes, *, threads: int = 0):
        self._openvino = check_openvino()
        where = "the model" if isinstance(file, bytes) else str(file)
        self._content = file if isinstance(file, bytes) else Path(file).read_bytes()
        notes = _read_notes(where, self._content)
        try:
            given = self._openvino.Core().read_model(self._content).inputs[0]
        except RuntimeError as error:
            raise UserError(where, f"OpenVINO can't read it ({_reason(error)}). Use onnxruntime.") from error
        self.dtype = np.uint8 if given.get_element_type() == self._openvino.Type.u8 else np.float32
        self.about: About | None = read_about(notes, where) if self.dtype == np.uint8 else None
        self._sides = [size.get_length() if size.is_static else None for size in given.get_partial_shape()][1:]
        self._how = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # a core that another process uses is a bad one to be held on
            **({"INFERENCE_NUM_THREADS": threads} if threads else {}),
        }
        self._compiled: dict[tuple[int, ...], object] = {}

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, S, S) of what the network sees of one picture."""
        if self.about is None:
            return tuple(self._sides)
        settings = self.about.preprocess
        return settings.channels, settings.input_size, settings.input_size

    def __call__(self, images: np.ndarray) -> np.ndarray:
        scales = self.about is not None and images.shape[1:3] != self.shape[1:]
        shape = EVERY if scales else images.shape
        if shape not in self._compiled:
            self._compile(shape)
        return self._compiled[shape](images)[0]

    def _compile(self, shape: tuple[int, ...]) -> None:
        for old in [known for known in self._compiled if known != EVERY][: 1 - KEPT]:
            del self._compiled[old]
        core = self._openvino.Core()
        model = core.read_model(self._content)
        if shape != EVERY:
            model.reshape(list(shape))
        self._compiled[shape] = core.compile_model(model, "CPU", self._how)


def check_openvino():
    """The module. Raises UserError where it is not installed."""
    try:
        import openvino
    except ImportError:
        raise UserError(
            "openvino", "is not installed. Write: pip install 'strop[openvino]'; or use onnxruntime."
        ) from None
    return openvino


def _read_notes(where: str, content: bytes) -> dict[str, str]:
    """What the file says of itself. A graph that points at other files, which OpenVINO would read, is refused."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_from_string(content)
    except DecodeError as error:
        raise UserError(where, "is no ONNX file. Export it again.") from error
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise UserError(where, "keeps its weights in another file, which is not read. Export it again.")
    return {note.key: note.value for note in model.metadata_props}


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1][:120]
