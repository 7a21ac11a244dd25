"""Static int8 quantization of an ONNX file: QDQ, weights per channel, activations per tensor."""

from __future__ import annotations

import io
import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import numpy as np

CALIBRATORS = ("minmax", "entropy", "percentile")


def quantize_int8(source: Path, target: Path, batches: Iterable[np.ndarray], *, calibrator: str = "minmax") -> None:
    """Write the int8 form of a float ONNX file.

    w_q = round(w / s_channel), symmetric in [-127, 127]; x_q = round(x / s) + z, unsigned; the scales of
    the activations come from what `batches` make the network do.

    Args:
        source: float graph with one input, batch norm unfused or fused.
        batches: normalised float32 (B, C, H, W) arrays: what the network sees in use, all classes alike.
        calibrator: how a range is read off: "minmax", "entropy" or "percentile".
    """
    from onnxruntime import quantization as ort
    from onnxruntime.quantization.shape_inference import quant_pre_process

    methods = {
        "minmax": ort.CalibrationMethod.MinMax,
        "entropy": ort.CalibrationMethod.Entropy,
        "percentile": ort.CalibrationMethod.Percentile,
    }
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        name = _input_name(prepared)
        ort.quantize_static(
            str(prepared),
            str(target),
            _reader(name, batches),
            quant_format=ort.QuantFormat.QDQ,
            per_channel=True,
            activation_type=ort.QuantType.QUInt8,
            weight_type=ort.QuantType.QInt8,
            calibrate_method=methods[calibrator],
            reduce_range=not _multiplies_int8_exactly(),
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantizer prints, and writes advice to the root logger; whatever the caller set there comes back."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(before)


def _input_name(path: Path) -> str:
    import onnx

    return onnx.load(path, load_external_data=False).graph.input[0].name


def _multiplies_int8_exactly() -> bool:
    """Without VNNI (or on an unknown processor that isn't x86) 8-bit products can overflow the 16-bit sum."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return True
    return "vnni" in flags or "amx_int8" in flags or "flags" not in flags


def _reader(name: str, batches: Iterable[np.ndarray]):
    """The pictures in the form that ONNX Runtime asks for; one at a time, as its histograms need equal shapes."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        feeds = ({name: picture[None]} for batch in batches for picture in batch)

        def get_next(self) -> dict | None:
            return next(self.feeds, None)

    return Reader()
