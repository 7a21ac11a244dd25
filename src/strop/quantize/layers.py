"""The layers of an ONNX file that hold weights, and what became of them in a quantized one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .weights import FLOAT, unpack_int4


@dataclass(frozen=True)
class Layer:
    """One weight and the operators that use it.

    Attributes:
        name: of the weight, without ".weight".
        weight: its name in the file; `nodes` are those of the operators.
        axis: of the output channels.
        shape: of the weight.
    """

    name: str
    weight: str
    nodes: tuple[str, ...]
    axis: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))


def find_layers(path: Path) -> list[Layer]:
    """Convolutions and matrix products with a constant weight of a float file, in the order of the graph."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    constants = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    found: dict[str, Layer] = {}
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in constants:
            continue
        weight, shape = node.input[1], constants[node.input[1]]
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        axis = 0 if node.op_type == "Conv" or transposed else len(shape) - 1
        nodes = (*(found[weight].nodes if weight in found else ()), node.name)
        found[weight] = Layer(weight.removesuffix(".weight"), weight, nodes, axis, shape)
    return list(found.values())


def name_layers(path: Path, names: Sequence[str]) -> list[Layer]:
    """Give the weights of a QDQ file, whole numbers or float, the names of their layers; returns these in graph order.

    Args:
        path: a file that torch wrote, its integers with a DequantizeLinear behind them; written again.
        names: of the layers, in the order of the graph.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {output: node for node in model.graph.node for output in node.output}
    operators = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    readers = [(node, *_reader_of_weight(node, makers)) for node in operators]
    tensors = [constants.get(reader.input[place]) for _, reader, place in readers]
    known = [(*found, tensor) for found, tensor in zip(readers, tensors, strict=True) if tensor is not None]
    found: dict[str, Layer] = {}
    for name, (node, reader, place, tensor) in zip(names, known, strict=True):
        earlier = found.get(tensor.name)  # of a tied weight
        if earlier is None:
            tensor.name = f"{name}.weight" + ("_quantized" if reader.op_type == "DequantizeLinear" else "")
        reader.input[place] = tensor.name
        nodes = (*(earlier.nodes if earlier else ()), node.name)
        found[tensor.name] = Layer(name, tensor.name, nodes, 0, tuple(tensor.dims))
    onnx.save(model, path)
    return list(found.values())


def _reader_of_weight(node: Any, makers: Mapping) -> tuple[Any, int]:
    """The node that reads the stored weight of an operator, and as which of its inputs."""
    reader, place = node, 1
    while (maker := makers.get(reader.input[place])) and maker.op_type in ("Transpose", "DequantizeLinear"):
        reader, place = maker, 0
    return reader, place


def dequantizer_of(tensor: str, makers: Mapping) -> object | None:
    """The DequantizeLinear that a weight comes from, through a Transpose or not; None for a float weight.

    Args:
        makers: node of a graph by the names of its outputs.
    """
    node = makers.get(tensor)
    while node is not None and node.op_type == "Transpose":
        node = makers.get(node.input[0])
    return node if node is not None and node.op_type == "DequantizeLinear" else None


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """All constants of a float file by name."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}


def describe_layers(path: Path, layers: list[Layer], bits: dict[str, int]) -> list[dict]:
    """A row a layer, read off the quantized file: sparsity, bits, bytes before and after, and their ratio.

    Bytes before are those of float32; bytes after hold the weights as stored, their scales and zero points.
    """
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    nodes = {node.name: node for node in graph.node}
    rows = []
    for layer in layers:
        weight = nodes[layer.nodes[0]].input[1]
        dequantizer = dequantizer_of(weight, makers)
        used = list(dequantizer.input) if dequantizer else [weight]
        used[0] = makers[used[0]].input[0] if used[0] in makers else used[0]  # a Cast from INT4
        tensors = [constants[name] for name in used]
        weight = tensors[0]
        is_packed = weight.data_type == onnx.TensorProto.INT4
        values = unpack_int4(weight.raw_data, tuple(weight.dims)) if is_packed else onnx.numpy_helper.to_array(weight)
        after = len(weight.raw_data) if is_packed else values.nbytes
        after += sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in tensors[1:])
        rows.append(
            {
                "layer": layer.name,
                "shape": list(layer.shape),
                "weights": layer.size,
                "sparsity": float((values == 0).mean()),
                "bits": bits.get(layer.name, FLOAT),
                "stored_bits": 4 if is_packed else 8 * values.itemsize,
                "bytes_before": 4 * layer.size,
                "bytes_after": after,
                "ratio": round(4 * layer.size / after, 3),
            }
        )
    return rows
