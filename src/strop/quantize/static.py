"""Static quantization of an ONNX file: QDQ, weights per channel in 8 bits or fewer, activations per tensor in 8."""

from __future__ import annotations

import io
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import numpy as np

from .layers import Layer, dequantizer_of, find_layers, read_weights
from .ranges import observe, read_ranges
from .weights import FLOAT, channel_scales, pack_int4, stored_bits

Ranges = Mapping[str, tuple[float, float]]


def quantize_int8(source: Path, target: Path, batches: Iterable[np.ndarray], *, calibrator: str = "minmax") -> None:
    """Write the int8 form of a float ONNX file: `prepare`, `observe` and `quantize` in one.

    Args:
        source: float graph with one input, batch norm unfused or fused.
        batches: normalised float32 (B, C, H, W) arrays: what the network sees in use, all classes alike.
        calibrator: how a range is read off: "minmax", "entropy" or "percentile".
    """
    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        prepare(source, prepared)
        quantize(prepared, target, read_ranges(observe(prepared, batches), calibrator))


def prepare(source: Path, target: Path) -> None:
    """Fold batch norms into convolutions and write the shape of every tensor down."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with _quiet():
        quant_pre_process(str(source), str(target), skip_symbolic_shape=True)


def quantize(
    prepared: Path,
    target: Path,
    ranges: Ranges,
    *,
    bits: Mapping[str, int] | None = None,
    only: Layer | None = None,
) -> None:
    """Write the quantized form of a prepared file.

    w_q = round(w / s_c), symmetric in [-(2^(b-1) - 1), 2^(b-1) - 1]; x_q = round(x / s) + z, unsigned 8 bits. In a
    network with attention only layers with weights are quantized.

    Args:
        ranges: (low, high) of every float tensor.
        bits: of the weights of each layer by name: 8 where it is not named; 32 leaves the layer in float.
        only: the one layer to quantize, everything else stays in float.
    """
    from onnxruntime import quantization as ort

    bits, layers = dict(bits or {}), find_layers(prepared)
    few = [layer for layer in layers if bits.get(layer.name, 8) < 8 and (only is None or layer == only)]
    weights = read_weights(prepared) if few else {}
    settings: dict[str, list[dict]] = {
        name: [{"rmin": np.float32(low), "rmax": np.float32(high)}] for name, (low, high) in ranges.items()
    }
    for layer in few:
        settings[layer.weight] = [
            {"axis": layer.axis, "quant_type": ort.QuantType.QInt8, "scale": scale, "zero_point": np.int8(0)}
            for scale in channel_scales(weights[layer.weight], layer.axis, bits[layer.name])
        ]
    with _quiet():
        ort.quantize_static(
            str(prepared),
            str(target),
            _one_picture(prepared),
            quant_format=ort.QuantFormat.QDQ,
            per_channel=True,
            activation_type=ort.QuantType.QUInt8,
            weight_type=ort.QuantType.QInt8,
            reduce_range=not multiplies_int8_exactly(),
            nodes_to_quantize=list(only.nodes) if only else _nodes_to_quantize(prepared, layers),
            nodes_to_exclude=[node for layer in layers if bits.get(layer.name) == FLOAT for node in layer.nodes],
            extra_options={"TensorQuantOverrides": settings},
        )
    if any(stored_bits(bits[layer.name]) == 4 for layer in few):
        pack_layers(target, {layer.nodes[0] for layer in few if stored_bits(bits[layer.name]) == 4})


def _nodes_to_quantize(prepared: Path, layers: Iterable[Layer]) -> list[str] | None:
    """Those of the layers in a network with attention; None for all nodes.

    Rounding the sums and products between the layers of a ViT costs it most of its accuracy (docs/log.md).
    """
    import onnx

    graph = onnx.load(prepared, load_external_data=False).graph
    has_attention = any(node.op_type in ("Softmax", "Attention", "MultiHeadAttention") for node in graph.node)
    return [node for layer in layers for node in layer.nodes] if has_attention else None


def pack_layers(path: Path, nodes: set[str]) -> None:
    """Store the weights of these operators as INT4, with a Cast to int8 before they are used.

    The runtime folds the Cast when it loads the file, so it computes as with int8. A DequantizeLinear of INT4, which
    could do without the Cast, it does not fuse: such a layer runs in float.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    weights = {dequantizer_of(node.input[1], makers).input[0] for node in graph.node if node.name in nodes}
    for name in sorted(weights):
        tensor = constants[name]
        raw = pack_int4(onnx.numpy_helper.to_array(tensor))
        packed = f"{name}_int4"
        tensor.CopyFrom(onnx.TensorProto(name=packed, data_type=onnx.TensorProto.INT4, dims=tensor.dims, raw_data=raw))
        cast = onnx.helper.make_node("Cast", [packed], [name], name=f"{name}_cast", to=onnx.TensorProto.INT8)
        graph.node.insert(0, cast)
    for opset in model.opset_import:
        if opset.domain == "":  # from 20 to 21 the operators used here only take more types
            opset.version = max(opset.version, 21)
    model.ir_version = max(model.ir_version, 10)
    onnx.checker.check_model(model)
    onnx.save(model, path)


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


def multiplies_int8_exactly() -> bool:
    """Without VNNI (or on an unknown processor that isn't x86) 8-bit products can overflow the 16-bit sum."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return True
    return "vnni" in flags or "amx_int8" in flags or "flags" not in flags


def _one_picture(prepared: Path):
    """ONNX Runtime asks for pictures though every range is given: it gets a grey one."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader

    graph = onnx.load(prepared, load_external_data=False).graph
    shape = [size.dim_value or 1 for size in graph.input[0].type.tensor_type.shape.dim]

    class Reader(CalibrationDataReader):
        feeds = iter([{graph.input[0].name: np.zeros(shape, np.float32)}])

        def get_next(self) -> dict | None:
            return next(self.feeds, None)

    return Reader()
